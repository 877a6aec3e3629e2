//! The external host's HTTP server: answers every request with the client's address.
//!
//! Owns the answer and the question whether anybody listens: one task per connection, closed after each
//! answer, so that every request shows the source address that its own connection had.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::response::IntoResponse;
use tokio::net::TcpListener;

use crate::process::{Process, State};
use crate::topology::EXT_PORT;

const PATIENCE: Duration = Duration::from_mins(1);
/// In /proc/net/tcp: a socket that takes connections.
const LISTENING: &str = "0A";

/// Nobody listens.
#[derive(Debug, thiserror::Error)]
#[error(
    "the external host did not serve within {PATIENCE:?}: its log, logs/ext.log of the lab, may say why"
)]
pub struct SilentError;

/// Serves until the process ends.
pub async fn serve() -> std::io::Result<()> {
    // Where the kernel has no IPv6 there is IPv4 alone.
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, EXT_PORT)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, EXT_PORT)).await?,
    };
    let app = Router::new()
        .fallback(answer)
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await
}

async fn answer(ConnectInfo(client): ConnectInfo<SocketAddr>) -> impl IntoResponse {
    (
        [(CONNECTION, "close")],
        format!("{}\n", client.ip().to_canonical()),
    )
}

/// Waits until this process serves. It is not asked: it would note who asks.
pub async fn listens(process: &Process) -> Result<(), SilentError> {
    let looking = async {
        while !is_listening(process.state()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .map_err(|_| SilentError)
}

fn is_listening(state: State) -> bool {
    let State::Running(pid) = state else {
        return false;
    };
    ["tcp", "tcp6"].iter().any(|kind| {
        std::fs::read_to_string(format!("/proc/{pid}/net/{kind}"))
            .is_ok_and(|sockets| has_listener(&sockets, EXT_PORT))
    })
}

/// Whether somebody listens on this port, in the form of /proc/net/tcp (proc(5)): the second column is the local
/// address, the fourth the state.
fn has_listener(sockets: &str, port: u16) -> bool {
    let end = format!(":{port:04X}");
    sockets.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let is_here = columns.next().is_some_and(|local| local.ends_with(&end));
        is_here && columns.nth(1) == Some(LISTENING)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_told_from_connections_and_from_other_ports() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";
        let socket = |local: &str, state: &str| {
            format!("{head}   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000\n")
        };
        assert!(has_listener(&socket("00000000:1F90", "0A"), 8080));
        assert!(!has_listener(&socket("00000000:1F90", "01"), 8080));
        assert!(!has_listener(&socket("00000000:1F91", "0A"), 8080));
        assert!(!has_listener(head, 8080));
    }
}
