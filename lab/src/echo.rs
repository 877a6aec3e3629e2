//! The external host's HTTP server: answers every request with the client's address.
//!
//! Owns nothing else: one task per connection, closed after each answer, so that every request shows
//! the source address that its own connection had.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::response::IntoResponse;
use tokio::net::TcpListener;

use crate::topology::EXT_PORT;

/// Serves until the process ends.
pub async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, EXT_PORT)).await?;
    let app = Router::new()
        .fallback(answer)
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await
}

async fn answer(ConnectInfo(client): ConnectInfo<SocketAddr>) -> impl IntoResponse {
    ([(CONNECTION, "close")], format!("{}\n", client.ip()))
}
