//! A real folder: what is right is served, what is wrong keeps its last good version and says where.

use super::*;
use std::fs;
use std::path::Path;

const ROUTE: &str = "apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  models: [assistant]
  targets:
  - name: pretend
    simulated: {reply: hello}
  rules:
  - split: [{target: pretend, weight: 1}]
";

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {apiKey: sk-very-secret}
";

struct Running {
    dir: tempfile::TempDir,
    folder: Folder,
    live: Live,
    health: watch::Receiver<Health>,
}

fn start(files: &[(&str, &str)]) -> Running {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("manifests")).unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    let running = open(dir);
    for (name, text) in files {
        write(&running, name, text);
    }
    let mut running = running;
    running.folder.load();
    running
}

fn open(dir: tempfile::TempDir) -> Running {
    let (live, health) = (Live::default(), watch::Sender::new(Health::default()));
    let receiver = health.subscribe();
    let folder = Folder::new(dir.path().join("manifests"), dir.path().join("state"), Arc::clone(&live), health);
    Running { dir, folder, live, health: receiver }
}

fn write(running: &Running, name: &str, text: &str) {
    fs::write(running.dir.path().join("manifests").join(name), text).unwrap();
}

impl Running {
    fn edit(&mut self, name: &str, text: &str) {
        write(self, name, text);
        assert!(self.folder.changed());
        self.folder.load();
    }

    fn models(&self) -> Vec<String> {
        self.live.load().as_ref().unwrap().table.models.keys().cloned().collect()
    }

    fn problems(&self) -> Vec<String> {
        self.health.borrow().problems.clone()
    }
}

#[test]
fn a_folder_is_served() {
    let running = start(&[("route.yaml", ROUTE), ("secret.yaml", SECRET)]);
    assert_eq!((running.models(), running.problems()), (vec!["assistant".to_owned()], vec![]));
    assert_eq!(running.live.load().as_ref().unwrap().secrets.get("keys", "apiKey"), Some("sk-very-secret"));
}

#[test]
fn a_broken_edit_keeps_the_last_good_version_and_names_file_and_line() {
    let mut running = start(&[("route.yaml", ROUTE)]);
    for broken in
        ["kind: [", &ROUTE.replace("weight: 1", "weight: -1"), &ROUTE.replace("target: pretend", "target: gone")]
    {
        running.edit("route.yaml", broken);
        assert_eq!(running.models(), ["assistant"]);
        let problems = running.problems();
        let at = running.dir.path().join("manifests/route.yaml");
        assert!(problems.iter().any(|line| line.starts_with(&format!("{}:", at.display()))), "{problems:?}");
    }
    running.edit("route.yaml", &ROUTE.replace("[assistant]", "[helper]"));
    assert_eq!((running.models(), running.problems()), (vec!["helper".to_owned()], vec![]));
}

#[test]
fn a_restart_while_something_is_broken_changes_nothing() {
    let mut running = start(&[("route.yaml", ROUTE)]);
    running.edit("route.yaml", "kind: [");
    let mut again = open(running.dir);
    again.folder.load();
    assert_eq!(again.models(), ["assistant"]);
    assert!(!again.problems().is_empty());
}

#[test]
fn a_file_that_is_not_text_is_broken_and_not_gone() {
    let mut running = start(&[("route.yaml", ROUTE)]);
    fs::write(running.dir.path().join("manifests/route.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    running.folder.load();
    assert_eq!(running.models(), ["assistant"]);
    assert!(running.problems().iter().any(|line| line.contains("UTF-8")), "{:?}", running.problems());
}

#[test]
fn a_folder_that_vanishes_goes_on_being_served() {
    let mut running = start(&[("route.yaml", ROUTE)]);
    let (manifests, away) = (running.dir.path().join("manifests"), running.dir.path().join("away"));
    fs::rename(&manifests, &away).unwrap();
    assert!(!running.folder.changed());
    running.folder.load();
    assert_eq!(running.models(), ["assistant"]);
    assert!(!running.health.borrow().connected);

    fs::rename(&away, &manifests).unwrap();
    assert!(!running.folder.changed(), "the same files are no change");
    assert!(running.health.borrow().connected);
}

#[test]
fn a_removed_file_removes_its_resources() {
    let mut running =
        start(&[("route.yaml", ROUTE), ("b.yaml", &ROUTE.replace("chat", "other").replace("assistant", "helper"))]);
    assert_eq!(running.models(), ["assistant", "helper"]);
    fs::remove_file(running.dir.path().join("manifests/b.yaml")).unwrap();
    assert!(running.folder.changed());
    running.folder.load();
    assert_eq!(running.models(), ["assistant"]);
}

#[test]
fn nothing_on_disk_holds_a_secret() {
    let running = start(&[("route.yaml", ROUTE), ("secret.yaml", SECRET)]);
    let holds = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).contains("very-secret");
    for entry in fs::read_dir(running.dir.path().join("state")).unwrap() {
        assert!(!holds(&entry.unwrap().path()));
    }
    let serving = running.live.load_full().unwrap();
    assert!(!format!("{serving:?}").contains("very-secret"));
    assert!(!serde_json::to_string(&serving.table).unwrap().contains("very-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_takes_effect_without_being_told() {
    let running = start(&[("route.yaml", ROUTE)]);
    write(&running, "route.yaml", &ROUTE.replace("[assistant]", "[helper]"));
    let mut terms = running.folder.terms();
    let following = tokio::spawn(running.folder.run());
    terms.wait_for(|terms| terms.table.models.contains_key("helper")).await.unwrap();
    following.abort();
    assert!(running.dir.path().exists());
}
