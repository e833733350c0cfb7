use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const STRICT: Policy = Policy { allow_private: false };
const LENIENT: Policy = Policy { allow_private: true };
const PUBLIC: [u8; 4] = [93, 184, 216, 34];

/// A name service that says what a test wants, each time something else.
#[derive(Default)]
struct ScriptedLookup {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl ScriptedLookup {
    fn saying<const N: usize>(answers: [&[[u8; 4]]; N]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().map(|address| (*address).into()).collect());
        Arc::new(Self { answers: Mutex::new(answers.collect()), asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Lookup for ScriptedLookup {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers.lock().unwrap().pop_front().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn sender(policy: Policy, lookup: Arc<ScriptedLookup>) -> Sender {
    Sender::new(policy, lookup, Duration::from_secs(2))
}

fn message(url: &str) -> Message<'_> {
    Message { url, id: "id".into(), timestamp: 1, signatures: "v1,x".into(), body: "{}".into() }
}

/// A server that does something with each connection; counts them.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (address, connections)
}

/// Reads a request as far as its end, and gives it.
async fn request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n{}") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "the request ends early: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8(read).unwrap()
}

async fn answering(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    server(move |mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

async fn sent(address: SocketAddr) -> Answer {
    let lookup = ScriptedLookup::saying([]);
    sender(LENIENT, lookup).send(message(&format!("http://{address}/hook"))).await.unwrap()
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_by_the_time_it_is_used_is_not_followed() {
    let (address, connections) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let lookup =
        ScriptedLookup::saying([&[PUBLIC], &[[127, 0, 0, 1]], &[[10, 0, 0, 1], [169, 254, 169, 254]]]);
    let sender = sender(STRICT, lookup.clone());
    let url = format!("https://rebind.example:{}/", address.port());
    assert!(sender.admit(&url).await.is_ok(), "it was public when it was set");
    for _ in 0..2 {
        let answer = sender.send(message(&url)).await.unwrap();
        assert_eq!(answer, Answer::None(Trouble::Forbidden));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nobody was connected to");
    assert_eq!(
        lookup.asked.load(Ordering::SeqCst),
        3,
        "the name is asked for once an attempt: there is no second answer"
    );
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_told_are_given_to_the_client() {
    let lookup = ScriptedLookup::saying([&[[127, 0, 0, 1], PUBLIC, [10, 0, 0, 1]]]);
    let guarded = sender(STRICT, lookup).guarded(false);
    assert_eq!(guarded.addresses("x.example").await, Ok(vec![PUBLIC.into()]));
}

#[tokio::test]
async fn an_address_is_set_only_if_its_name_leads_to_the_internet() {
    let lookup = ScriptedLookup::saying([&[PUBLIC], &[[192, 168, 0, 1]], &[]]);
    let sender = sender(STRICT, lookup);
    assert!(sender.admit("https://hooks.example/x").await.is_ok());
    assert_eq!(sender.admit("https://intranet.example/x").await, Err(Refusal::NotPublic));
    assert_eq!(sender.admit("https://nobody.example/x").await, Err(Refusal::Unresolved));
    assert_eq!(
        sender.admit("https://nobody.example/x").await,
        Err(Refusal::Unresolved),
        "also when it fails"
    );
    assert_eq!(sender.admit("https://127.0.0.1/x").await, Err(Refusal::NotPublic));
}

#[tokio::test]
async fn an_address_that_was_set_in_development_is_not_told_in_production() {
    let (address, connections) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let strict = sender(STRICT, ScriptedLookup::saying([]));
    for url in [format!("http://{address}/"), format!("https://{address}/"), "nonsense".to_owned()] {
        assert_eq!(strict.send(message(&url)).await.unwrap(), Answer::None(Trouble::Forbidden));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn in_the_clear_a_name_is_followed_to_this_machine_only() {
    let (address, connections) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let lookup = ScriptedLookup::saying([&[[10, 0, 0, 1]], &[PUBLIC], &[[127, 0, 0, 1]]]);
    let lenient = sender(LENIENT, lookup);
    let url = format!("http://dev.example:{}/", address.port());
    for _ in 0..2 {
        assert_eq!(lenient.send(message(&url)).await.unwrap(), Answer::None(Trouble::Forbidden));
    }
    assert_eq!(lenient.send(message(&url)).await.unwrap(), Answer::Status(200, None));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    let (elsewhere, connections) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    for status in [301_u16, 302, 303, 307, 308] {
        let (address, _) = server(move |mut stream| async move {
            request(&mut stream).await;
            let answer =
                format!("HTTP/1.1 {status} X\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        assert_eq!(sent(address).await, Answer::Status(status, None));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_receiver_sees_is_a_signed_post_without_anything_of_the_server() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (address, _) = server(move |mut stream| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(request(&mut stream).await);
            let _ = stream.write_all(b"HTTP/1.1 429 X\r\nretry-after: 7\r\n\r\n").await;
        }
    })
    .await;
    assert_eq!(sent(address).await, Answer::Status(429, Some("7".into())));
    let told = told.recv().await.unwrap().to_lowercase();
    assert!(told.starts_with("post /hook http/1.1\r\n"), "{told}");
    let mut names: Vec<_> = told.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let written = Arc::new(AtomicU64::new(0));
    let (counted, (over, mut ended)) = (written.clone(), tokio::sync::mpsc::unbounded_channel());
    let (address, _) = server(move |mut stream| {
        let (counted, over) = (counted.clone(), over.clone());
        async move {
            request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
            let piece = vec![b'x'; 1 << 16];
            while stream.write_all(&piece).await.is_ok() {
                counted.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            let _ = over.send(());
        }
    })
    .await;
    assert_eq!(sent(address).await, Answer::Status(200, None));
    ended.recv().await.unwrap();
    // What lies in the buffers of the two sockets was written, and not read.
    assert!(written.load(Ordering::SeqCst) < 32 << 20, "{written:?}");
}

#[tokio::test]
async fn a_receiver_that_answers_drop_by_drop_is_not_waited_for_and_one_that_has_said_yes_has_it() {
    let drip = |head: &'static str| {
        server(move |mut stream| async move {
            request(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
            // One byte every 50 ms: never silent for long, and never done.
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            loop {
                ticks.tick().await;
                if stream.write_all(b"x").await.is_err() {
                    return;
                }
            }
        })
    };
    let begun = Instant::now();
    let (address, _) = drip("HTTP/1.1 200 OK\r\nx: ").await;
    assert_eq!(sent(address).await, Answer::None(Trouble::Slow), "no end of the head");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let begun = Instant::now();
    let (address, _) = drip("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
    assert_eq!(sent(address).await, Answer::Status(200, None), "no end of the body");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_says_nothing_or_hangs_up_has_not_answered() {
    let (silent, _) = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    assert_eq!(sent(silent).await, Answer::None(Trouble::Slow));
    let (rude, _) = server(|stream| async move { drop(stream) }).await;
    assert_eq!(sent(rude).await, Answer::None(Trouble::Broken));
    let (garbled, _) = answering("SSH-2.0-OpenSSH_9.6\r\n").await;
    assert_eq!(sent(garbled).await, Answer::None(Trouble::Broken));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(sent(closed).await, Answer::None(Trouble::Unreachable));
}

#[tokio::test]
async fn a_server_without_tls_is_not_told_as_if_it_had_it() {
    let (address, _) = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let lenient = sender(LENIENT, ScriptedLookup::saying([]));
    let answer = lenient.send(message(&format!("https://{address}/"))).await.unwrap();
    assert_eq!(answer, Answer::None(Trouble::Insecure));
}
