//! The product as an operator of a cluster meets it: a whole Kubernetes node, the chart installed by Helm, applications with an injected
//! proxy and behind a gateway, an upgrade and a drain under live streams, and the end of it.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says what it saw and stops; figures are for the reader"
)]

mod node {
    mod documents;
    mod first;
    mod goods;
    mod identity;
    mod reader;
    mod room;
    mod streams;

    use std::io::Write;
    use std::time::Instant;

    use documents::Pages;
    use tollway_tests::node::{Node, obstacle};

    /// Where the kernel permits no node, says so past the test runner's capture: nobody shall take it for a pass.
    fn cannot_run() -> bool {
        let Some(why) = obstacle() else { return false };
        let _ = writeln!(std::io::stderr(), "CANNOT RUN HERE, nothing was tested: {why}");
        true
    }

    /// One node for all: each chapter stands on what the one before left.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn from_the_installation_to_its_end() {
        if cannot_run() {
            return;
        }
        let begun = Instant::now();
        let node = Node::start().await;
        println!("the node is ready after {:.1} s", begun.elapsed().as_secs_f64());
        let mut pages = Pages::open(&node);
        first::request(&node, &mut pages).await;
        for (page, heading) in [
            ("docs/install.md", "## kubectl tollway"),
            ("charts/tollway/templates/NOTES.txt", ""),
            ("docs/limits-and-cache.md", "## Cache"),
            ("docs/operations.md", "## Ledgers and backup"),
            ("examples/nova-with-ollama-fallback/README.md", "# Amazon Nova with fallback to Ollama"),
            ("examples/team-budget/README.md", "# A budget for each team"),
        ] {
            pages.run(page, heading);
        }
        identity::is_worth_nothing_elsewhere(&node);
        streams::outlive_an_upgrade_and_a_drain(&node).await;
        pages.run("docs/injection.md", "# Injection and admission");
        pages.run("docs/install.md", "## Upgrades");
        pages.run("docs/install.md", "## Uninstall");
        pages.close();
        let left = node.run("kubectl get crd,clusterrole,mutatingwebhookconfiguration -o name");
        assert!(!left.contains("tollway"), "{left}");
        println!("all of it took {:.1} s", begun.elapsed().as_secs_f64());
    }
}
