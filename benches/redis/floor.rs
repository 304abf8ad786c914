//! The floor: the same client, the same server, and a script that does nothing.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Script, Value};

/// A connection that is set up as the adapter's own.
pub(crate) struct Floor {
    connection: MultiplexedConnection,
    sha: String,
}

impl Floor {
    pub(crate) async fn new(url: &str) -> Self {
        let config = AsyncConnectionConfig::new().set_pipeline_buffer_size(1_024);
        let client = Client::open(format!("{url}?protocol=resp3")).unwrap();
        let mut connection =
            client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        let text = "return 1";
        let mut load = redis::cmd("SCRIPT");
        let _: Value = load.arg("LOAD").arg(text).query_async(&mut connection).await.unwrap();
        Self { connection, sha: Script::new(text).get_hash().to_owned() }
    }

    pub(crate) async fn nothing(&self) {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.sha).arg(0);
        let one: i64 = call.query_async(&mut self.connection.clone()).await.unwrap();
        assert_eq!(one, 1);
    }

    pub(crate) async fn ping(&self) {
        let _: Value = redis::cmd("PING").query_async(&mut self.connection.clone()).await.unwrap();
    }
}
