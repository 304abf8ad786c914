//! Connections and memories are lost: what several processes admit together stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tower_bearer::AuthContext;
use tower_bearer::limit::Limiter;

use crate::figure::{Figure, at_most, exactly, must, share, within_ms};
use crate::proxy::Proxy;
use crate::scene::{Calls, Said, Scene, ask, row, server};

pub(crate) async fn restarted() -> Vec<Figure> {
    let mut server = server();
    let proxies = [16, 17].map(|seed| Proxy::to(server.port, seed));
    let scenes = [Scene::new(), Scene::new()];
    let mut replicas = Vec::new();
    for (scene, proxy) in scenes.iter().zip(&proxies) {
        replicas.push((scene.limiter(60, 60_000, proxy.port), scene.caller("a").await));
    }
    let mut admitted = 0;
    for (limiter, caller) in &replicas {
        admitted += row(limiter, caller, 30).await.admitted();
    }
    let mut figures = vec![exactly("before", admitted, 60)];
    let ended = Arc::new(AtomicBool::new(false));
    let [one, _] = proxies;
    let watched = thread::spawn({
        let ended = Arc::clone(&ended);
        move || connects(&one, &ended)
    });
    server.kill();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while began.elapsed() < Duration::from_millis(1_000) {
        for (limiter, caller) in &replicas {
            let (said, took) = ask(limiter, caller).await;
            admitted += usize::from(said.is_admitted());
            longest = longest.max(took);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.restart();
    let back = Instant::now();
    for (scene, (limiter, caller)) in scenes.iter().zip(&replicas) {
        figures.push(within_ms("back_to_exact", scene.back(limiter, back).await, 500));
        let calls = row(limiter, caller, 60).await;
        admitted += calls.admitted();
    }
    ended.store(true, Ordering::SeqCst);
    let connects = watched.join().unwrap();
    let apart = connects.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or_default();
    figures.extend([
        at_most("admitted_in_the_window", admitted, 120),
        within_ms("longest_request", longest, 30),
        at_most("connects", connects.len(), 55),
        // seen from outside, up to a few milliseconds late
        must(
            "connects_apart",
            format!("{}ms", apart.as_millis()),
            ">=20ms (seen to 5)",
            apart >= Duration::from_millis(15),
        ),
    ]);
    figures
}

/// When the connections were made, but the first: that one follows upon the loss at once.
fn connects(proxy: &Proxy, ended: &AtomicBool) -> Vec<Instant> {
    let (mut seen, mut times) = (proxy.connections(), Vec::new());
    while !ended.load(Ordering::SeqCst) {
        let now = proxy.connections();
        times.extend((seen..now).map(|_| Instant::now()));
        seen = now;
        thread::sleep(Duration::from_micros(200));
    }
    times
}

/// One admission of a process: asked at, answered at, in whole milliseconds of the clock that Redis reads.
type Seen = (u64, u64);

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

pub(crate) async fn four_processes() -> Vec<Figure> {
    let mut server = server();
    let window = 2_000;
    let mut processes = Vec::new();
    let ended = Arc::new(AtomicBool::new(false));
    for _ in 0..4 {
        let scene = Scene::new();
        let limiter = scene.limiter(60, 2_000, server.port);
        let caller = scene.caller("a").await;
        processes.push(tokio::spawn(full_load(limiter, caller, Arc::clone(&ended))));
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    server.restart();
    let back = wall_ms();
    tokio::time::sleep(Duration::from_millis(7_000)).await;
    ended.store(true, Ordering::SeqCst);
    let mut figures = Vec::new();
    let (mut all, mut most_of_one, mut longest) = (Vec::new(), 0, Duration::ZERO);
    for process in processes {
        let (seen, calls) = process.await.unwrap();
        most_of_one = most_of_one.max(most_in(&seen, window - 25));
        longest = longest.max(calls.longest());
        figures.push(exactly("undecided", calls.count(|said| said == Said::Undecided), 0));
        all.extend(seen);
    }
    let settled = back + 800 + window;
    let later: Vec<Seen> = all.iter().copied().filter(|seen| seen.0 > settled).collect();
    figures.extend([
        at_most("most_of_one_process", most_of_one, 60),
        at_most("most_together", most_in(&all, window), 240),
        at_most("most_together_afterwards", most_in(&later, window), 60),
        must("admitted_afterwards", later.len(), ">=60", later.len() >= 60),
        within_ms("longest_request", longest, 30),
    ]);
    figures
}

async fn full_load(
    limiter: Limiter,
    caller: AuthContext,
    ended: Arc<AtomicBool>,
) -> (Vec<Seen>, Calls) {
    let (mut seen, mut calls) = (Vec::new(), Calls::default());
    while !ended.load(Ordering::SeqCst) {
        let asked = wall_ms();
        let call = ask(&limiter, &caller).await;
        if call.0.is_admitted() {
            seen.push((asked, wall_ms()));
        }
        calls.0.push(call);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (seen, calls)
}

/// The most admissions that lie wholly in one window.
fn most_in(seen: &[Seen], window_ms: u64) -> usize {
    let from = |start: u64| {
        seen.iter().filter(|seen| start <= seen.0 && seen.1 < start + window_ms).count()
    };
    seen.iter().map(|seen| from(seen.0)).max().unwrap_or(0)
}

pub(crate) async fn connections_each_second() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let limiter = scene.limiter(512, 60_000, server.port);
    let callers = scene.callers("a", 100).await;
    for caller in &callers {
        ask(&limiter, caller).await;
    }
    let seconds = 10;
    let mut kills = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let mut running = Vec::new();
    let began = Instant::now();
    for number in 0..seconds * 1_000 {
        tick.tick().await;
        if number % 1_000 == 500 {
            server.say(&["CLIENT", "KILL", "TYPE", "normal"]);
            kills += 1;
        }
        let (limiter, caller) = (limiter.clone(), callers[number % callers.len()].clone());
        running.push(tokio::spawn(async move { ask(&limiter, &caller).await }));
    }
    let mut calls = Calls::default();
    for call in running {
        calls.0.push(call.await.unwrap());
    }
    let here = calls.count(|said| said == Said::Fallback);
    let lost = calls.0.len() - calls.admitted();
    println!("{kills} kills in {:.1} s, {here} calls decided here", began.elapsed().as_secs_f64());
    vec![
        exactly("not_admitted", lost, 0),
        share("decided_here_share", here, calls.0.len(), 10),
        exactly("outages", scene.events().len(), 0),
        calls.none_over_30_ms(),
    ]
}
