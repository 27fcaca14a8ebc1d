//! Pages and their headings in; the commands below them out, run as they stand, and remembered.

use std::time::Instant;

use tollway_tests::documents::{self, By, Ran};
use tollway_tests::node::Node;
use tollway_tests::process::path;

/// A person who reads pages at this cluster.
pub struct Pages<'a> {
    node: &'a Node,
    ran: Ran,
}

impl<'a> Pages<'a> {
    /// Has the programs in the PATH that a reader has.
    pub fn open(node: &'a Node) -> Pages<'a> {
        node.tool("tollway-proxy", &path("tollway-proxy"));
        Pages { node, ran: Ran::default() }
    }

    /// Runs the commands below a heading, one after the other, and gives what the last one said.
    pub fn run(&mut self, page: &str, heading: &str) -> String {
        let commands = documents::of(page);
        let below = commands.iter().filter(|command| command.heading == heading && command.by() == Some(By::Node));
        let mut said = None;
        for command in below {
            // A page that repeats another has its reader at the same cluster.
            if self.ran.has(command) {
                continue;
            }
            let typed = self.ran.note(command);
            // Nothing is left on this machine.
            let typed = typed.replace("> ledgers.yaml", "> \"$HOME/ledgers.yaml\"");
            let typed = typed.replace("/usr/local/bin", &self.node.tools().display().to_string());
            let begun = Instant::now();
            said = Some(self.node.run(&typed));
            println!("{:6.2} s  {typed}", begun.elapsed().as_secs_f64());
        }
        said.unwrap_or_else(|| panic!("{page} has no command below '{heading}'"))
    }

    /// Fails when a page has a command for a cluster that was not run.
    pub fn close(self) {
        self.ran.assert_all(By::Node);
    }
}
