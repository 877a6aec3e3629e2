//! Listening sockets.
//!
//! Owns what an address that means "all" means on a machine without IPv6. Never accepts a connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// Opens a socket. Where the kernel has no IPv6, `[::]` means `0.0.0.0`.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        listener => listener,
    }
}
