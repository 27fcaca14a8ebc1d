//! In: perhaps more arguments. Out: a `redis-server` on loopback with a password, in memory only, and all that it holds.

use redis::aio::MultiplexedConnection;

use crate::process::{Process, Program, free_port};
use crate::{scratch, wait};

/// What `url` has in it, and no log may.
pub const PASSWORD: &str = "rEd1s-pa55word";

/// What docs/limits-and-cache.md gives to a user for the namespace `team`.
const RIGHTS: &str = "~tollway:team:* +@read +@write +@scripting +@connection +time -@dangerous";

/// A running redis-server.
#[derive(Debug)]
pub struct Redis {
    pub process: Process,
    pub port: u16,
}

impl Redis {
    /// Ready to answer.
    pub async fn start() -> Redis {
        Redis::start_with(|program| program).await
    }

    /// As `start`, with more arguments.
    pub async fn start_with(change: impl FnOnce(Program) -> Program) -> Redis {
        let port = free_port();
        let program = Program::at("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", PASSWORD])
            .args(["--user", "team", "on", &format!(">{PASSWORD}")])
            .args(RIGHTS.split(' '))
            .args(["--port", &port.to_string()])
            .current_dir(scratch::folder("redis"));
        let found = std::process::Command::new("redis-server").arg("--version").output();
        assert!(found.is_ok(), "there is no redis-server: sudo apt-get install redis-server");
        let mut redis = Redis { process: change(program).start(), port };
        redis.ready().await;
        redis
    }

    /// What `--redis-url` takes: a user with no more rights than the documents say.
    pub fn url(&self) -> String {
        format!("redis://team:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// kill -9 and the same server again, empty.
    pub async fn restart(&mut self) {
        self.process.start_again();
        self.ready().await;
    }

    /// A connection of the test's own.
    pub async fn link(&self) -> MultiplexedConnection {
        self.try_link().await.unwrap_or_else(|e| panic!("redis-server: {e}"))
    }

    /// Every key and every value, one after the other.
    pub async fn everything(&self) -> Vec<u8> {
        let mut link = self.link().await;
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut link).await.expect("keys");
        let mut all = keys.join("\n").into_bytes();
        for key in keys {
            let dump: Option<Vec<u8>> = match redis::cmd("GET").arg(&key).query_async(&mut link).await {
                Ok(value) => value,
                Err(_) => redis::cmd("DUMP").arg(&key).query_async(&mut link).await.expect("a dump"),
            };
            all.extend(dump.unwrap_or_default());
        }
        all
    }

    async fn try_link(&self) -> redis::RedisResult<MultiplexedConnection> {
        redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port))?
            .get_multiplexed_async_connection()
            .await
    }

    async fn ready(&mut self) {
        wait::until("redis-server to answer", async || {
            assert!(self.process.is_running(), "redis-server ended:\n{}", self.process.log_tail(10));
            let mut link = self.try_link().await.ok()?;
            redis::cmd("PING").exec_async(&mut link).await.ok()
        })
        .await;
    }
}
