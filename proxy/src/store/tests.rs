//! A redis-server that comes, goes and comes back; nobody waits for it and nobody asks it again and again.

use super::*;
use crate::fixture::Redis;
use crate::metrics::Metrics;
use crate::source::Live;

struct Following {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn following(address: Address, timeout: Duration) -> Following {
    let metrics = Metrics::new().unwrap();
    let store = Store::new(address, timeout, metrics.store().unwrap());
    let task = tokio::spawn(Arc::clone(&store).follow(Live::default(), "one".to_owned()));
    Following { store, metrics, task }
}

impl Following {
    async fn ping(&self) -> Result<(), Gone> {
        self.store.ask(Operation::Get, |mut link| async move { redis::cmd("PING").exec_async(&mut link).await }).await
    }

    async fn until(&self, holds: impl Fn(&Store) -> bool) {
        let wait = async {
            while !holds(&self.store) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it became true");
    }

    fn counted(&self, result: &str) -> u64 {
        let text = self.metrics.encode(None, &[]).unwrap();
        let start = format!("tollway_redis_operations_total{{operation=\"get\",result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(start.as_str())).unwrap().parse().unwrap()
    }
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_is_used_while_it_is_there_and_again_when_it_is_back() {
    let mut redis = Redis::start().await;
    let following = following(redis.address(), PATIENT);
    following.until(|store| store.problem().is_none()).await;
    assert_eq!(following.ping().await, Ok(()));
    redis.kill();
    assert_eq!(following.ping().await, Err(Gone));
    assert_eq!(following.ping().await, Err(Gone));
    // Only the first of the two, at most, asked a server that is gone.
    assert_eq!(following.counted("skipped") + following.counted("failed"), 2);
    assert!(following.counted("skipped") >= 1 && following.store.problem().is_some());
    redis.restart().await;
    following.until(|store| store.problem().is_none()).await;
    assert_eq!(following.ping().await, Ok(()));
}

#[tokio::test]
async fn a_server_that_hangs_is_left_alone_after_one_reply_that_did_not_come() {
    let redis = Redis::start().await;
    let mut other = redis.link().await;
    let following = following(redis.address(), Duration::from_secs(2));
    following.until(|store| store.problem().is_none()).await;
    // It holds back every reply, as a server does that is swapped out.
    redis::cmd("CLIENT").arg("PAUSE").arg(600_000).exec_async(&mut other).await.unwrap();
    let hung = following.store.ask(Operation::Get, |mut link| async move {
        redis::cmd("EVAL").arg("return 1").arg(0).exec_async(&mut link).await
    });
    assert_eq!(hung.await, Err(Gone));
    assert_eq!(following.counted("timed_out"), 1);
    assert_eq!(following.ping().await, Err(Gone));
    assert_eq!(following.counted("skipped"), 1);
    assert!(following.store.problem().is_some());
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_repeated() {
    let redis = Redis::start().await;
    let mut link = redis.link().await;
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("right").exec_async(&mut link).await.unwrap();
    let at = redis.address().to_string().replace("redis://", "");
    let wrong = following(Address::parse(&format!("redis://:wr0ng@{at}")).unwrap(), PATIENT);
    wrong.until(|store| store.problem().is_some_and(|problem| !problem.contains("no connection yet"))).await;
    let problem = wrong.store.problem().unwrap();
    assert!(!problem.contains("wr0ng") && problem.to_lowercase().contains("auth"), "{problem}");
    assert_eq!(wrong.ping().await, Err(Gone));
    let right = following(Address::parse(&format!("redis://:right@{at}")).unwrap(), PATIENT);
    right.until(|store| store.problem().is_none()).await;
    assert!(!format!("{:?}", right.store).contains("right"));
}

#[tokio::test]
async fn one_odd_value_breaks_no_connection() {
    let redis = Redis::start().await;
    redis::cmd("LPUSH").arg("k").arg("x").exec_async(&mut redis.link().await).await.unwrap();
    let following = following(redis.address(), PATIENT);
    following.until(|store| store.problem().is_none()).await;
    let odd = following.store.ask(Operation::Get, |mut link| async move {
        let mut both = redis::pipe();
        both.cmd("GETRANGE").arg("k").arg(0).arg(9).cmd("PTTL").arg("k");
        both.query_async::<(Vec<u8>, i64)>(&mut link).await
    });
    assert_eq!(odd.await, Err(Gone));
    assert_eq!((following.counted("failed"), following.ping().await), (1, Ok(())));
}
