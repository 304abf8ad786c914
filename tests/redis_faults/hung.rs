//! The server stands, and says nothing.

use std::time::{Duration, Instant};

use tower_bearer::AuthContext;
use tower_bearer::limit::Limiter;

use crate::figure::{Figure, at_most, exactly, must, within_ms};
use crate::proxy::{Proxy, Wire};
use crate::scene::{PASSWORD, Said, Scene, added_while_open, crowd, row, say_as, server, tasks};
use crate::server::{RedisServer, wait_until};

/// A limiter that has been used, and is quiet.
struct Quiet {
    scene: Scene,
    limiter: Limiter,
    caller: AuthContext,
    tasks: usize,
}

impl Quiet {
    async fn over(port: u16) -> Self {
        let scene = Scene::new();
        let limiter = scene.limiter(60, 60_000, port);
        let warm = scene.caller("warm").await;
        assert_eq!(row(&limiter, &warm, 1).await.count(|said| said == Said::Store), 1);
        let caller = scene.caller("a").await;
        Self { scene, limiter, caller, tasks: tasks() }
    }

    /// A thousand calls at once, in the middle of it.
    async fn hang(&self, reasons: &[&str]) -> Vec<Figure> {
        let calls = crowd(&self.limiter, &self.caller, 1_000).await;
        let ended = Instant::now();
        // the one that tries whether it is back, and those of its attempt to connect
        let at_rest = self.tasks + 4;
        while tasks() > at_rest && ended.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let settled = ended.elapsed();
        let reason = self.scene.reason();
        vec![
            exactly("admitted_of_1000", calls.admitted(), 60),
            exactly("denied_of_1000", calls.denied(), 940),
            calls.none_over_30_ms(),
            must("reason", &reason, &reasons.join(" or "), reasons.contains(&reason.as_str())),
            at_most("tasks_left", tasks().saturating_sub(self.tasks), 4),
            within_ms("tasks_at_rest_after", settled, 100),
            added_while_open(&self.limiter, &self.caller).await,
        ]
    }

    async fn back(&self, began: Instant) -> Figure {
        within_ms("back_to_exact", self.scene.back(&self.limiter, began).await, 500)
    }
}

pub(crate) async fn stopped() -> Vec<Figure> {
    let server = server();
    let quiet = Quiet::over(server.port).await;
    server.signal("STOP");
    let mut figures = quiet.hang(&["timeout"]).await;
    server.signal("CONT");
    figures.push(quiet.back(Instant::now()).await);
    figures
}

pub(crate) async fn paused(whom: &str) -> Vec<Figure> {
    let server = server();
    let quiet = Quiet::over(server.port).await;
    // nobody can end the pause of everybody
    server.say(&["CLIENT", "PAUSE", "1500", whom]);
    let ends = Instant::now() + Duration::from_millis(1_500);
    let mut figures = quiet.hang(&["timeout"]).await;
    tokio::time::sleep_until(ends.into()).await;
    figures.push(quiet.back(ends).await);
    figures
}

pub(crate) async fn black_hole(there: bool) -> Vec<Figure> {
    let server = server();
    let proxy = Proxy::to(server.port, 14);
    let quiet = Quiet::over(proxy.port).await;
    let set = |wire| if there { proxy.to_server(wire) } else { proxy.to_client(wire) };
    set(Wire::BlackHole);
    let mut figures = quiet.hang(&["timeout"]).await;
    set(Wire::Pass);
    figures.push(quiet.back(Instant::now()).await);
    figures
}

pub(crate) async fn busy() -> Vec<Figure> {
    let server = server();
    server.say(&["CONFIG", "SET", "lua-time-limit", "50"]);
    let quiet = Quiet::over(server.port).await;
    let port = server.port;
    let other = std::thread::spawn(move || {
        say_as(port, PASSWORD, "EVAL \"while true do end\" 0");
    });
    wait_until("the script runs", || is_busy(&server));
    let mut figures = quiet.hang(&["busy", "timeout"]).await;
    assert_eq!(server.say(&["SCRIPT", "KILL"]), "OK");
    figures.push(quiet.back(Instant::now()).await);
    other.join().unwrap();
    figures
}

fn is_busy(server: &RedisServer) -> bool {
    server.say(&["PING"]).starts_with("-BUSY")
}
