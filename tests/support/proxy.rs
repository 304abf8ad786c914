//! A wire that goes bad on cue: TCP on loopback between a client and its server.
#![expect(clippy::disallowed_methods, reason = "it delays bytes by real time")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to bytes of one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Wire {
    #[default]
    Pass,
    /// Held back by this, and up to that much more.
    Delay { least: Duration, jitter: Duration },
    /// Taken, and never passed on.
    BlackHole,
    /// The connection is torn down at the next byte.
    Reset,
    /// This direction is closed at the next byte.
    HalfClose,
    /// The connection is torn down after so many bytes.
    CutAfter(u64),
    /// One bit of the byte with this number is wrong.
    Flip(u64),
    /// So many bytes a second.
    Slow(u64),
}

/// A proxy in front of one server. It ends with the test's process.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    to_server: Mutex<Wire>,
    to_client: Mutex<Wire>,
    refuses: AtomicBool,
    connections: AtomicU64,
    bytes: AtomicU64,
    /// Moved on by `cut`; a connection of an older number is torn down.
    generation: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    chance: AtomicU64,
}

impl Proxy {
    /// Stands in front of `127.0.0.1:port`; `seed` draws the jitter, so that runs repeat.
    pub(crate) fn to(port: u16, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            to_server: Mutex::default(),
            to_client: Mutex::default(),
            refuses: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            open: Mutex::default(),
            chance: AtomicU64::new(seed | 1),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepting.take(client);
            }
        });
        Self { port: own, shared }
    }

    /// `redis://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What happens from now on to what the client says.
    pub(crate) fn to_server(&self, wire: Wire) {
        *self.shared.to_server.lock().unwrap() = wire;
    }

    /// What happens from now on to what the server says.
    pub(crate) fn to_client(&self, wire: Wire) {
        *self.shared.to_client.lock().unwrap() = wire;
    }

    /// Tears down every new connection at once, until told otherwise.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Tears down all connections that stand.
    pub(crate) fn cut(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connections taken so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes passed on so far, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn take(self: &Arc<Self>, client: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        let Ok(server) = TcpStream::connect(self.server) else {
            let _ = client.shutdown(Shutdown::Both);
            return;
        };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            self.open.lock().unwrap().push(stream.try_clone().unwrap());
        }
        for there in [true, false] {
            let (from, to) = if there { (&client, &server) } else { (&server, &client) };
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(self);
            thread::spawn(move || shared.carry(from, to, there));
        }
    }

    /// One direction of one connection.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, there: bool) {
        let generation = self.generation.load(Ordering::SeqCst);
        let mut passed = 0_u64;
        let mut buffer = [0; 16_384];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(read) if read > 0 => read,
                _ => break,
            };
            let bytes = &mut buffer[..read];
            let wire = *if there { &self.to_server } else { &self.to_client }.lock().unwrap();
            let end = passed + read as u64;
            match wire {
                Wire::Pass => {}
                Wire::Delay { least, jitter } => thread::sleep(least + jitter.mul_f64(self.draw())),
                Wire::BlackHole => continue,
                Wire::Reset => break,
                Wire::HalfClose => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Wire::CutAfter(most) if end > most => {
                    let keep = usize::try_from(most.saturating_sub(passed)).unwrap();
                    let _ = to.write_all(&bytes[..keep]);
                    break;
                }
                Wire::Flip(at) if (passed..end).contains(&at) => {
                    bytes[usize::try_from(at - passed).unwrap()] ^= 1;
                }
                Wire::CutAfter(_) | Wire::Flip(_) => {}
                Wire::Slow(rate) => {
                    thread::sleep(Duration::from_secs_f64(read as f64 / rate.max(1) as f64));
                }
            }
            if self.generation.load(Ordering::SeqCst) != generation || to.write_all(bytes).is_err()
            {
                break;
            }
            passed = end;
            self.bytes.fetch_add(read as u64, Ordering::SeqCst);
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// 0 to 1, the next of a sequence that the seed fixes.
    fn draw(&self) -> f64 {
        let next = |state: u64| {
            let state = state ^ (state << 13);
            let state = state ^ (state >> 7);
            Some(state ^ (state << 17))
        };
        let state = self.chance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap();
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}
