//! A redis-server of the program's own, on a free port, that it may stop and start again.

use std::error::Error;
use std::io;
use std::net::TcpListener as Port;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

/// A redis-server that this program started, and stops when it ends.
pub(crate) struct Own {
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Own {
    /// Finds a port and starts it there.
    pub(crate) async fn new() -> Result<Self, Box<dyn Error>> {
        let port = Port::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut own = Self { port, child: None };
        own.start().await?;
        Ok(own)
    }

    /// Starts it, empty.
    pub(crate) async fn start(&mut self) -> Result<(), Box<dyn Error>> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
        command.args(["--appendonly", "no"]).stdout(Stdio::null());
        self.child = Some(command.spawn().map_err(|error| format!("redis-server: {error}"))?);
        while Port::bind(("127.0.0.1", self.port)).is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(crate) fn stop(&mut self) -> io::Result<()> {
        self.child
            .take()
            .map_or(Ok(()), |mut child| child.kill().and_then(|()| child.wait().map(drop)))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stop().ok();
    }
}
