//! The first day of an installation, in its order.

use tollway_tests::node::{Node, obstacle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_node() {
    if let Some(why) = obstacle() {
        println!("{why}");
        return;
    }
    let begun = std::time::Instant::now();
    let node = Node::start().await;
    println!("node ready after {:?}", begun.elapsed());
    println!("{}", node.run("kubectl get nodes -o wide"));
    if let Ok(lines) = std::env::var("TRY") {
        for line in lines.lines() {
            let output = node.shell(line).output();
            println!("$ {line} [{:?}]\n{}{}", begun.elapsed(), String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
    }
}
