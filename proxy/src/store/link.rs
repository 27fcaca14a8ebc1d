//! An address in; a connection that stands, and stands again whenever it broke, out; and how many proxies share it.

use super::{Operation, Store, said};
use crate::operator::Backoff;
use crate::source::Live;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a connection may take to stand; no request waits for it.
const CONNECT: Duration = Duration::from_secs(2);
/// How often this proxy says that it is there.
const PERIOD: Duration = Duration::from_secs(5);
/// How soon it tries to say so for the first time.
const SOON: Duration = Duration::from_millis(250);
/// How long a proxy that says nothing more is counted, in seconds.
const REMEMBERED: u32 = 15;
/// A connection that stood for so long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// Requests that may wait to be written.
const QUEUE: usize = 1_024;

impl Store {
    /// Keeps a connection for as long as the process lives.
    pub async fn follow(self: Arc<Self>, live: Live, incarnation: String) {
        let register = Script::new(include_str!("register.lua"));
        let mut backoff = Backoff::default();
        loop {
            match self.connect().await {
                Ok(link) => {
                    self.came(link);
                    let since = Instant::now();
                    self.hold(&live, &incarnation, &register).await;
                    if since.elapsed() >= GOOD {
                        backoff.reset();
                    }
                }
                Err(problem) => self.went(problem),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// A connection over which an answer came.
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let connect = async {
            let client = Client::open(self.address.info())?;
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None)
                .set_pipeline_buffer_size(QUEUE);
            let mut link = client.get_multiplexed_async_connection_with_config(&config).await?;
            redis::cmd("PING").exec_async(&mut link).await?;
            Ok(link)
        };
        let late = |_| format!("no connection within {} s", CONNECT.as_secs());
        timeout(CONNECT, connect).await.map_err(late)?.map_err(|error: RedisError| said(&error))
    }

    /// Says now and then that this proxy is there, until the connection is of no more use.
    async fn hold(&self, live: &Live, incarnation: &str, register: &Script) {
        loop {
            self.register(live, incarnation, register).await;
            // Before there is a table nobody knows the namespace.
            let pause = if self.proxies().is_some() { PERIOD } else { SOON };
            tokio::select! {
                () = self.broke.notified() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn register(&self, live: &Live, incarnation: &str, register: &Script) {
        let namespace = live.load().as_ref().map(|serving| serving.table.namespace.clone());
        let counted = self.ask(Operation::Register, |mut link| async move {
            let Some(namespace) = namespace else {
                return redis::cmd("PING").exec_async(&mut link).await.map(|()| None);
            };
            let mut call = register.key(format!("tollway:{namespace}:proxies"));
            call.arg(incarnation).arg(REMEMBERED).invoke_async::<u32>(&mut link).await.map(Some)
        });
        if let Ok(Some(count)) = counted.await {
            self.proxies.store(count, Relaxed);
            self.meter.proxies(count);
        }
    }
}
