//! Traffic: a client in a Pod, and a server on the external host.
//!
//! Owns both ends, and the check that the server has seen the address that it should. No `iperf`: it would have to be
//! installed, and it cannot tell whom it has served.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use socket2::{Domain, SockRef, Socket, Type};

use super::netns::Netns;
use super::network::{OUTSIDE, Way};

/// Answers every byte.
const ECHO_PORT: u16 = 7001;
/// Swallows everything.
const SINK_PORT: u16 = 7002;
/// What is written at once where throughput is measured.
const CHUNK_BYTES: usize = 256 * 1024;
/// An answer that takes so long does not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a sample's time, so much is added before it, which does not count.
const WARMUP_SHARE: u32 = 5;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One connection, one way.
    Throughput,
    /// One connection, one byte there and back.
    Requests,
    /// A connection for each request.
    Connections,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Throughput, Self::Requests, Self::Connections];

    /// In a few words, with its unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::Throughput => "Gbit/s",
            Self::Requests => "requests/s",
            Self::Connections => "connect+request/s",
        }
    }
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taken {
    /// Per second: Gbit, requests, connections.
    pub rate: f64,
    /// How long each request took, where there is one connection.
    pub times: Vec<Duration>,
}

/// The external host's servers. They end with the process.
#[derive(Debug, Clone, Default)]
pub struct Server {
    seen: Arc<Mutex<BTreeSet<IpAddr>>>,
    received: Arc<AtomicU64>,
}

impl Server {
    /// Starts them on the external host.
    pub fn start(outside: &Netns) -> anyhow::Result<Self> {
        let server = Self::default();
        server.listen(outside, ECHO_PORT, |_, stream| Self::echo(stream))?;
        server.listen(outside, SINK_PORT, Self::swallow)?;
        Ok(server)
    }

    /// One connection after the other, for there is one client.
    fn listen(
        &self,
        outside: &Netns,
        port: u16,
        serve: fn(&Self, &mut TcpStream) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        let listener = outside.enter(|| Ok(TcpListener::bind((OUTSIDE, port))?))?;
        let server = self.clone();
        thread::spawn(move || {
            for (mut stream, peer) in std::iter::from_fn(|| listener.accept().ok()) {
                server.seen().insert(peer.ip());
                // Clients end with a reset.
                let _ = serve(&server, &mut stream);
            }
        });
        Ok(())
    }

    fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut byte = [0];
        while stream.read(&mut byte)? > 0 {
            stream.write_all(&byte)?;
        }
        Ok(())
    }

    fn swallow(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let bytes = stream.read(&mut buffer)?;
            if bytes == 0 {
                return Ok(());
            }
            let bytes = u64::try_from(bytes).unwrap_or_default();
            self.received.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeSet<IpAddr>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one sample on a way. It is an error if the server has not seen the address that this way is for.
    pub fn sample(&self, way: &Way, kind: Kind, time: Duration) -> anyhow::Result<Taken> {
        self.seen().clear();
        let taken = way.pod.enter(|| match kind {
            Kind::Throughput => self.throughput(time),
            Kind::Requests => requests(time),
            Kind::Connections => connections(time),
        });
        let taken = taken.with_context(|| format!("{}: {}", way.path, kind.title()))?;
        let seen: BTreeSet<_> = self.seen().clone();
        let expected = BTreeSet::from([IpAddr::V4(way.seen_as)]);
        ensure!(
            seen == expected,
            "{}: the external host has seen {seen:?} and not {expected:?}",
            way.path
        );
        Ok(taken)
    }

    fn throughput(&self, time: Duration) -> anyhow::Result<Taken> {
        let mut stream = connect(SINK_PORT)?;
        let chunk = vec![0; CHUNK_BYTES];
        let mut write_for = |time: Duration| -> anyhow::Result<f64> {
            let (started, before) = (Instant::now(), self.received.load(Ordering::Relaxed));
            while started.elapsed() < time {
                stream.write_all(&chunk)?;
            }
            let received = self.received.load(Ordering::Relaxed) - before;
            Ok(number(received * 8 / 1_000_000) / 1e3 / started.elapsed().as_secs_f64())
        };
        write_for(time / WARMUP_SHARE)?;
        let rate = write_for(time)?;
        reset(&stream)?;
        Ok(Taken {
            rate,
            times: Vec::new(),
        })
    }
}

fn requests(time: Duration) -> anyhow::Result<Taken> {
    let mut stream = connect(ECHO_PORT)?;
    stream.set_nodelay(true)?;
    let mut ask_for = |time: Duration| -> anyhow::Result<Taken> {
        let started = Instant::now();
        let mut times = Vec::new();
        let mut before = started;
        while before - started < time {
            ask(&mut stream)?;
            let now = Instant::now();
            times.push(now - before);
            before = now;
        }
        let rate = per_second(times.len(), before - started);
        Ok(Taken { rate, times })
    };
    ask_for(time / WARMUP_SHARE)?;
    let taken = ask_for(time)?;
    reset(&stream)?;
    Ok(taken)
}

fn connections(time: Duration) -> anyhow::Result<Taken> {
    let ask_for = |time: Duration| -> anyhow::Result<f64> {
        let started = Instant::now();
        let mut count = 0;
        while started.elapsed() < time {
            let mut stream = connect(ECHO_PORT)?;
            ask(&mut stream)?;
            reset(&stream)?;
            count += 1;
        }
        Ok(per_second(count, started.elapsed()))
    };
    ask_for(time / WARMUP_SHARE)?;
    Ok(Taken {
        rate: ask_for(time)?,
        times: Vec::new(),
    })
}

/// The limit on writes is one on connecting too, without a poll for each connection.
fn connect(port: u16) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let address = SocketAddr::new(OUTSIDE.into(), port);
    socket.connect(&address.into()).context("cannot connect")?;
    Ok(socket.into())
}

fn ask(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.write_all(b"?")?;
    let mut byte = [0];
    stream.read_exact(&mut byte).context("no answer")
}

/// Has a connection end without a trace when it is dropped: ports that wait would be used up soon.
fn reset(stream: &TcpStream) -> anyhow::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    Ok(())
}

fn per_second(count: usize, time: Duration) -> f64 {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    number(count) / time.as_secs_f64()
}

/// Exact for all that anybody counts here.
fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Asks once, and tells the address that the external host has seen; nothing if no answer comes.
pub fn seen_by(server: &Server, pod: &Netns) -> BTreeSet<IpAddr> {
    server.seen().clear();
    // Whether there was an answer is in what was seen.
    let _ = pod.enter(|| ask(&mut connect(ECHO_PORT)?));
    server.seen().clone()
}
