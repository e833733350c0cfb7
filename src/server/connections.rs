//! Connections: taken in, not kept by somebody who says or takes nothing, and let end well when the server stops.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer;

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the first byte of its first request.
    pub first: Duration,
    /// Until a request is there, but for its body: also the time between two requests. Longer than proxies keep a
    /// connection, so that it is they who close it, and none of them sends into one that is just closing.
    pub head: Duration,
    /// Until it takes what was sent to it. Somebody who is gone without a word takes nothing.
    pub taking: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(10), head: Duration::from_secs(75), taking: Duration::from_mins(2) }
    }
}

/// Answers until `stop`; then lets requests that are under way end.
pub async fn serve(mut listener: TcpListener, router: Router, stop: CancellationToken, patience: Patience) {
    let open = TaskTracker::new();
    // Waits by itself where no more files can be opened.
    while let Some(accepted) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
        open.spawn(converse(accepted, router.clone(), stop.clone(), patience));
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// One connection, to its end or to its upgrade.
async fn converse(
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
    stop: CancellationToken,
    patience: Patience,
) {
    settle(&stream, patience.taking);
    let mut first = [0];
    let speaks = tokio::time::timeout(patience.first, stream.peek(&mut first));
    if !matches!(stop.run_until_cancelled(speaks).await, Some(Ok(Ok(1)))) {
        return;
    }
    let service = TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(router));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.head);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // How it ends is the client's business: what there is to say was said in answers.
    if stop.run_until_cancelled(connection.as_mut()).await.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Where the system cannot do it, the connection is as good as before.
fn settle(stream: &TcpStream, taking: Duration) {
    // A message of a socket must not wait for the next one.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(taking));
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::Ipv4Addr;

    use axum::body::Body;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    const LONG: Duration = Duration::from_mins(10);
    /// Longer than anything takes on a busy machine.
    const IN_TIME: Duration = Duration::from_mins(1);

    struct Site {
        address: SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<()>,
    }

    impl Site {
        async fn start(patience: Patience) -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let stop = CancellationToken::new();
            let router = Router::new()
                .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
                .route(
                    "/endless",
                    get(|| async {
                        let chunk = bytes::Bytes::from(vec![0; 1 << 16]);
                        Body::from_stream(futures::stream::repeat_with(move || {
                            Ok::<_, Infallible>(chunk.clone())
                        }))
                    }),
                );
            let serving = tokio::spawn(serve(listener, router, stop.clone(), patience));
            Self { address, stop, serving }
        }

        async fn say(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }

        /// Stops it, and sees that nothing is left open.
        async fn ends(self) {
            self.stop.cancel();
            tokio::time::timeout(IN_TIME, self.serving).await.expect("nobody holds it up").unwrap();
        }
    }

    const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    async fn hears(stream: &mut TcpStream) -> String {
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(IN_TIME, stream.read(&mut answer)).await.expect("in time").unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    #[tokio::test]
    async fn a_request_is_answered_and_knows_where_it_comes_from() {
        let site = Site::start(Patience::default()).await;
        let mut stream = site.say(ASK).await;
        for _ in 0..2 {
            let answer = hears(&mut stream).await;
            let own = stream.local_addr().unwrap().to_string();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&own), "{answer}");
            stream.write_all(ASK.as_bytes()).await.unwrap();
        }
        site.ends().await;
    }

    #[tokio::test]
    async fn who_says_nothing_and_who_never_finishes_saying_it_are_let_go() {
        let hasty =
            Patience { first: Duration::from_millis(50), head: Duration::from_millis(50), taking: LONG };
        let site = Site::start(hasty).await;
        for beginning in ["", "G", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
            assert_eq!(hears(&mut site.say(beginning).await).await, "", "{beginning}: closed");
        }
        // Also who has asked once, and says nothing more.
        let mut stream = site.say(ASK).await;
        assert!(hears(&mut stream).await.starts_with("HTTP/1.1 200"));
        assert_eq!(hears(&mut stream).await, "", "closed");
        site.ends().await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn who_takes_nothing_is_let_go() {
        let hasty = Patience { taking: Duration::from_millis(300), ..Patience::default() };
        let site = Site::start(hasty).await;
        // Read to nobody's end: what the server holds for it is given up.
        let stream = site.say("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
        site.ends().await;
        drop(stream);
    }

    #[tokio::test]
    async fn a_stop_waits_for_requests_and_not_for_silence() {
        let site = Site::start(Patience { first: LONG, head: LONG, taking: LONG }).await;
        let mut silent = site.say("").await;
        let mut idle = site.say(ASK).await;
        assert!(hears(&mut idle).await.starts_with("HTTP/1.1 200"));
        site.ends().await;
        assert_eq!((hears(&mut silent).await, hears(&mut idle).await), (String::new(), String::new()));
    }
}
