//! One HTTP request on a connection of its own, from wherever this process is.
//!
//! Owns the time limit, which covers connecting and the whole answer.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The URL cannot be used.
    #[error("{0:?} is not an http:// URL")]
    Url(String),
    /// The host has no address of that family.
    #[error("{0} has no address of the wanted family")]
    Family(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// No proper answer.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// The answer was cut off.
    #[error("the answer could not be read: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too late.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// Which addresses of a host may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Any.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Requests `url` and gives the body of the answer, whatever its status.
pub async fn get(url: &Uri, family: Family, limit: Duration) -> Result<Bytes, RequestError> {
    let answer = tokio::time::timeout(limit, exchange(url, family)).await;
    answer.map_err(|_| RequestError::TimedOut(limit))?
}

/// Requests `path` at an address through this socket; the status of the answer.
pub async fn status(
    socket: TcpSocket,
    address: SocketAddr,
    path: &str,
    limit: Duration,
) -> Result<StatusCode, RequestError> {
    let exchange = async {
        let stream = socket.connect(address).await?;
        Ok(talk(stream, &address.to_string(), path).await?.0)
    };
    let answer = tokio::time::timeout(limit, exchange).await;
    answer.map_err(|_| RequestError::TimedOut(limit))?
}

async fn exchange(url: &Uri, family: Family) -> Result<Bytes, RequestError> {
    let host = url.host().filter(|_| url.scheme_str() == Some("http"));
    let host = host.ok_or_else(|| RequestError::Url(url.to_string()))?;
    let address = resolve(host, url.port_u16().unwrap_or(80), family).await?;
    let stream = TcpStream::connect(address).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Ok(talk(stream, host, path).await?.1)
}

async fn talk(
    stream: TcpStream,
    host: &str,
    path: &str,
) -> Result<(StatusCode, Bytes), RequestError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(path)
        .header(HOST, host)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| RequestError::Url(format!("http://{host}{path}")))?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
            .collect()
            .await;
        body.map(|body| (status, body.to_bytes()))
            .map_err(RequestError::Body)
    };
    // The connection moves bytes for the answer: both must be polled, the answer decides.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

async fn resolve(host: &str, port: u16, family: Family) -> Result<SocketAddr, RequestError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let fits = |address: &SocketAddr| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let found = tokio::net::lookup_host((host, port)).await?.find(fits);
    found.ok_or_else(|| RequestError::Family(host.to_owned()))
}
