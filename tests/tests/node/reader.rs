//! The output of a command that prints server-sent events in; how far it has come out.

use tollway_tests::node::Node;
use tollway_tests::process::Process;

/// A client in a Pod, seen from here.
pub struct Reader {
    process: Process,
}

impl Reader {
    /// Starts the command at this cluster.
    pub fn start(node: &Node, command: &str) -> Reader {
        Reader { process: node.shell(command).start() }
    }

    /// Waits until the text came.
    pub async fn has(&mut self, text: &str) {
        self.process.wait_for_log(text).await;
    }

    /// All that came, when the command has ended.
    pub async fn whole(mut self, what: &str) -> String {
        let status = self.process.exited().await;
        let log = self.process.log();
        assert!(status.success(), "{what}: {status}\n{log}");
        log
    }
}

/// Fails when the answer is not one whole stream.
pub fn assert_whole(what: &str, log: &str) {
    let events: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"), "{what}:\n{log}");
    assert!(events.iter().any(|event| event.contains("\"finish_reason\":\"stop\"")), "{what}:\n{log}");
    assert!(!log.contains("\"error\""), "{what}:\n{log}");
}
