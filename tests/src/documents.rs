//! The pages that people read in; every command on them, and which kind of test runs it, out.
//!
//! A command is an indented block on a page, lines that go on and loops joined. What is not one stands in a fence. A test that runs commands keeps
//! a [`Ran`] and ends with [`Ran::assert_all`]: what no test runs fails there, and what no test can run is named with the reason.

use std::collections::BTreeSet;
use std::path::Path;

use crate::process::workspace;

/// Who runs a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `--test node`: a whole cluster, with the chart installed.
    Node,
    /// `--test standalone`: proxies on the folders of examples.
    Shell,
    /// A target of the Makefile, which `make help` lists.
    Make,
    /// No test, and why.
    Nobody(&'static str),
}

/// What commands begin with.
const KINDS: &[(&str, By)] = &[
    (
        "kubectl drain ",
        By::Nobody(
            "one node has nowhere for its Pods to go; `--test node` drains a Pod with a stream by this command and a selector",
        ),
    ),
    ("helm ", By::Node),
    ("kubectl ", By::Node),
    ("ln -s ", By::Node),
    ("curl ", By::Shell),
    ("export ", By::Shell),
    ("for ", By::Shell),
    ("redis-server ", By::Shell),
    ("tollway-proxy ", By::Shell),
    ("make ", By::Make),
    (
        "docker build ",
        By::Nobody(
            "base images come from a registry; the same steps make the images of `make images`, which tests run",
        ),
    ),
];

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Command {
    /// Its page, from the workspace's folder.
    pub page: String,
    /// The last heading before it, with its marks.
    pub heading: String,
    /// As it stands, without the indentation and what is said behind it.
    pub text: String,
}

impl Command {
    /// Who runs it.
    #[must_use]
    pub fn by(&self) -> Option<By> {
        KINDS.iter().find(|(begin, _)| self.text.starts_with(begin)).map(|(_, by)| *by)
    }
}

/// The commands of every page.
#[must_use]
pub fn commands() -> Vec<Command> {
    let mut pages = vec!["README.md".to_owned(), "charts/tollway/templates/NOTES.txt".to_owned()];
    for (folder, file) in [("docs", ""), ("examples", "README.md")] {
        let entries = std::fs::read_dir(workspace().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let names = entries.flatten().map(|entry| format!("{folder}/{}", entry.file_name().display()));
        let pages_of =
            names.map(|name| Path::new(&name).join(file).display().to_string().trim_end_matches('/').to_owned());
        pages.extend(pages_of.filter(|page| page.ends_with(".md") && workspace().join(page).is_file()));
    }
    pages.sort();
    pages.iter().flat_map(|page| of(page)).collect()
}

/// The commands of one page.
#[must_use]
pub fn of(page: &str) -> Vec<Command> {
    let text = std::fs::read_to_string(workspace().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
    // What Helm fills in is the namespace of every page.
    read(page, &text.replace("{{ .Release.Namespace }}", "tollway-system"))
}

fn read(page: &str, text: &str) -> Vec<Command> {
    let (mut found, mut heading, mut is_fenced) = (Vec::new(), String::new(), false);
    let mut open: Option<String> = None;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        }
        if line.starts_with('#') && !is_fenced {
            line.clone_into(&mut heading);
        }
        let Some(line) = line.strip_prefix("    ").filter(|_| !is_fenced && !line.trim().is_empty()) else { continue };
        let line = line.split("   #").next().unwrap_or_default().trim_end();
        if line.starts_with('#') {
            continue;
        }
        let whole = match open.take() {
            Some(begun) => format!("{begun}\n{line}"),
            None => line.to_owned(),
        };
        let in_loop = whole.starts_with("for ") && !whole.ends_with("\ndone");
        if line.ends_with('\\') || in_loop {
            open = Some(whole);
        } else {
            found.push(Command { page: page.to_owned(), heading: heading.clone(), text: whole });
        }
    }
    assert!(open.is_none(), "{page}: {open:?} does not end");
    found
}

/// What a test has run.
#[derive(Debug, Default)]
pub struct Ran(BTreeSet<String>);

impl Ran {
    /// Notes a command, and gives its text.
    pub fn note<'a>(&mut self, command: &'a Command) -> &'a str {
        self.0.insert(command.text.clone());
        &command.text
    }

    /// Whether the same command was run already, from this page or another.
    #[must_use]
    pub fn has(&self, command: &Command) -> bool {
        self.0.contains(&command.text)
    }

    /// Fails when a command of that kind was not run; the same one on two pages is one.
    pub fn assert_all(&self, by: By) {
        let left: Vec<Command> = commands()
            .into_iter()
            .filter(|command| command.by() == Some(by) && !self.0.contains(&command.text))
            .collect();
        assert!(left.is_empty(), "on pages, and not run by this test: {left:#?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_go_on_and_loops_are_one_command() {
        let page = "# A\n\n    curl a \\\n      -d b   # said\n    # only said\n\ntext\n\n## B\n\n    for x in 1; do\n      curl $x\n    done\n\n```yaml\na:\n    curl c\n```\n";
        let found: Vec<(String, String)> =
            read("p", page).into_iter().map(|command| (command.heading, command.text)).collect();
        let expected = [("# A", "curl a \\\n  -d b"), ("## B", "for x in 1; do\n  curl $x\ndone")];
        assert_eq!(found, expected.map(|(heading, text)| (heading.to_owned(), text.to_owned())));
    }

    #[test]
    fn every_command_of_every_page_has_somebody_who_runs_it() {
        let all = commands();
        let strange: Vec<&Command> = all.iter().filter(|command| command.by().is_none()).collect();
        assert!(
            strange.is_empty(),
            "say in KINDS who runs these, or put what is no command into a fence: {strange:#?}"
        );
        let makefile = std::fs::read_to_string(workspace().join("Makefile")).expect("the Makefile");
        for command in all.iter().filter(|command| command.by() == Some(By::Make)) {
            let target = command.text.trim_start_matches("make ");
            assert!(makefile.contains(&format!("\n{target}: ")), "{command:?}: there is no such target");
        }
        for (begin, _) in KINDS {
            assert!(all.iter().any(|command| command.text.starts_with(begin)), "no page has a command with {begin:?}");
        }
    }
}
