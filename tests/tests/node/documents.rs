//! A document and one of its headings in; the commands below it out, run as they stand.

use std::time::Instant;

use tollway_tests::node::Node;
use tollway_tests::process::workspace;

/// The lines of the indented blocks below a heading, up to the next one of its level.
pub fn commands(document: &str, heading: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join(document)).unwrap_or_else(|e| panic!("{document}: {e}"));
    let section = text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    let commands: Vec<String> = section.filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    assert!(!commands.is_empty(), "{document} has no command below '{heading}'");
    commands
}

/// Runs them one after the other and gives what the last one said.
pub fn run(node: &Node, document: &str, heading: &str) -> String {
    let mut said = String::new();
    for command in commands(document, heading) {
        let begun = Instant::now();
        said = node.run(&command);
        println!("{:6.2} s  {command}", begun.elapsed().as_secs_f64());
    }
    said
}
