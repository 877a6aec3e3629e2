//! What is sent and what is not, around the end of a permit.

use std::convert::Infallible;

use http::Response;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tower::{ServiceExt, service_fn};
use tower_test::mock::{Handle, pair};

use super::*;

const IN_FLIGHT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_mins(1);

fn permit(time: Option<Duration>) -> Permit {
    let permit = Permit::none(IN_FLIGHT);
    permit.set(time.map(|time| since_boot() + time));
    permit
}

type Server = Handle<Request<()>, Response<()>>;

fn ask(permit: &Permit, path: &str) -> (tokio::task::JoinHandle<Result<(), BoxError>>, Server) {
    let (service, server) = pair::<Request<()>, Response<()>>();
    let request = Request::patch(path).body(()).unwrap();
    let fenced = Fenced::new(service, permit.clone());
    let task = tokio::spawn(async move { fenced.oneshot(request).await.map(drop) });
    (task, server)
}

#[tokio::test]
async fn nothing_is_sent_without_a_permit_nor_after_its_end() {
    let over = permit(Some(Duration::ZERO));
    for permit in [permit(None), over] {
        let (task, mut server) = ask(&permit, "/a");
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(Refusal::in_error(&*error), Some(Refusal::Expired));
        assert!(server.next_request().await.is_none());
    }
}

#[tokio::test]
async fn a_request_says_when_the_server_is_to_give_up() {
    for (path, sent) in [
        ("/a", "/a?timeout=2000ms"),
        ("/a?force=true", "/a?force=true&timeout=2000ms"),
    ] {
        let (task, mut server) = ask(&permit(Some(LONG)), path);
        let (request, send) = server.next_request().await.unwrap();
        assert_eq!(request.uri(), sent);
        send.send_response(Response::new(()));
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_answered_is_given_up() {
    let (task, mut server) = ask(&permit(Some(LONG)), "/a");
    let _unanswered = server.next_request().await.unwrap();
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(Refusal::in_error(&*error), Some(Refusal::Unanswered));
}

#[tokio::test]
async fn what_is_under_way_is_waited_for_until_its_answer() {
    let permit = permit(Some(LONG));
    permit.settled().await;
    let (task, mut server) = ask(&permit, "/a");
    let (_, send) = server.next_request().await.unwrap();
    permit.set(None);
    assert!(
        timeout(Duration::from_millis(50), permit.settled())
            .await
            .is_err()
    );
    send.send_response(Response::new(()));
    permit.settled().await;
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_given_up_is_waited_for_as_long_as_it_may_happen() {
    let permit = Permit::none(Duration::from_millis(300));
    permit.set(Some(since_boot() + LONG));
    let (task, mut server) = ask(&permit, "/a");
    let _unanswered = server.next_request().await.unwrap();
    task.abort();
    let start = since_boot();
    permit.settled().await;
    assert!(since_boot().saturating_sub(start) >= Duration::from_millis(250));
}

/// Two ends of a connection, of which the first is behind this permit.
async fn connection(permit: &Permit) -> (Fenced<TokioIo<DuplexStream>>, DuplexStream) {
    let (near, far) = duplex(64);
    let mut near = Some(TokioIo::new(near));
    let inner = service_fn(move |_: Uri| {
        let near = near.take().expect("one connection");
        async move { Ok::<_, Infallible>(near) }
    });
    let mut connector = Connector(Fenced::new(inner, permit.clone()));
    let connection = connector.call(Uri::from_static("/")).await.unwrap();
    (connection, far)
}

#[tokio::test]
async fn a_connection_sends_nothing_after_the_permits_end_and_still_hears() {
    let permit = permit(Some(LONG));
    let (connection, mut far) = connection(&permit).await;
    let mut near = TokioIo::new(connection);
    near.write_all(b"one").await.unwrap();
    permit.set(None);
    let error = near.write_all(b"two").await.unwrap_err();
    assert_eq!(Refusal::in_error(&error), Some(Refusal::Expired));
    far.write_all(b"answer").await.unwrap();
    let mut heard = [0; 6];
    near.read_exact(&mut heard).await.unwrap();
    drop(near);
    let mut sent = String::new();
    far.read_to_string(&mut sent).await.unwrap();
    assert_eq!((sent.as_str(), &heard), ("one", b"answer"));
}
