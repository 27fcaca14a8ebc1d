//! The product as an operator of a cluster meets it: a whole Kubernetes node, the chart installed by Helm, an application with an injected proxy.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says what it saw and stops; figures are for the reader"
)]

mod node {
    mod day;
}
