//! What is no WebSocket, byte by byte; and lines that say nothing, or stop in the middle.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Bystander;
use crate::support::TestApp;
use crate::support::client::Client;

const PATIENCE: Duration = Duration::from_mins(1);

/// A socket of bare bytes, upgraded.
struct Bare(TcpStream);

impl Bare {
    async fn open(client: &Client) -> Self {
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        let request = "GET /graphql HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    /// A frame with its first byte and its payload, masked with zeros.
    async fn say(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len().min(126)).unwrap()];
        if payload.len() > 125 {
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The code it is closed with.
    async fn closed(mut self) -> u16 {
        let hear = async {
            loop {
                let first = self.0.read_u8().await.expect("a close frame before the end");
                let length = self.0.read_u8().await.unwrap();
                let mut payload = vec![0; usize::from(length)];
                self.0.read_exact(&mut payload).await.unwrap();
                if first == 0x88 {
                    return u16::from_be_bytes([payload[0], payload[1]]);
                }
            }
        };
        tokio::time::timeout(PATIENCE, hear).await.expect("closed in time")
    }
}

const TEXT: u8 = 0x81;

#[tokio::test]
async fn a_frame_that_is_none_closes_its_socket_with_the_code_of_the_standard() {
    let app = TestApp::new().await;
    let (jane, bystander) = (app.therapist("jane").await, Bystander::new(&app).await);
    let init = br#"{"type":"connection_init"}"#;
    for (what, first, payload, code) in [
        ("no UTF-8", TEXT, &b"{\"type\":\"\xff\xfe\"}"[..], 1007),
        ("half of a character", TEXT, b"{\"type\":\"\xc3\"}", 1007),
        ("a continuation of nothing", 0x80, b"{}", 1002),
        ("an unknown kind of frame", 0x83, b"{}", 1002),
        ("a reserved bit", 0xC1, b"{}", 1002),
        ("a ping in parts", 0x09, b"", 1002),
        ("a ping that is too long", 0x89, &[0; 200], 1002),
        ("a close without half of its code", 0x88, b"\x03", 1002),
        ("bytes", 0x82, b"{\"type\":\"ping\"}", 4400),
    ] {
        for greeted in [false, true] {
            let mut socket = Bare::open(&jane).await;
            if greeted {
                socket.say(TEXT, init).await;
            }
            socket.say(first, payload).await;
            assert_eq!(socket.closed().await, code, "{what}");
        }
    }
    // Not masked, as every client has to.
    let mut socket = Bare::open(&jane).await;
    socket.0.write_all(b"\x81\x02{}").await.unwrap();
    assert_eq!(socket.closed().await, 1002);
    // A length that nobody sends is believed at once: 100 MiB, and the longest there is.
    for length in [100_u64 << 20, u64::MAX >> 1] {
        let mut socket = Bare::open(&jane).await;
        let head = [&[TEXT, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
        socket.0.write_all(&head).await.unwrap();
        assert_eq!(socket.closed().await, 1009, "{length}");
    }
    // One message in two frames, with a ping between them, is none of these.
    let mut socket = Bare::open(&jane).await;
    socket.say(0x01, b"{\"type\":\"co").await;
    socket.say(0x89, b"").await;
    socket.say(0x80, b"nnection_init\"}").await;
    socket.say(TEXT, br#"{"type":"connection_init"}"#).await;
    assert_eq!(socket.closed().await, 4429, "both of them arrived");
    bystander.goes_on(&app).await;
}

#[tokio::test]
async fn lines_that_stop_in_the_middle_are_forgotten() {
    let app = TestApp::new().await;
    let (jane, bystander) = (app.therapist("jane").await, Bystander::new(&app).await);
    let upload = "POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\nContent-Type: application/json\r\n\r\n{\"que";
    for beginning in
        ["", "G", "GET /graphql HTTP/1.1\r\nHo", "GET /graphql HTTP/1.1\r\nUpgrade: websocket\r\n", upload]
    {
        let mut stream = TcpStream::connect(jane.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        // Half of it is closed; what is not closed is dropped right after.
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "the server hangs up, too: {beginning}");
    }
    for half in [&[TEXT][..], &[TEXT, 0xFE, 0xFF], &[TEXT, 0x85, 0, 0, 0, 0, b'{']] {
        let mut socket = Bare::open(&jane).await;
        socket.say(TEXT, br#"{"type":"connection_init"}"#).await;
        socket.0.write_all(half).await.unwrap();
        drop(socket);
    }
    jane.call("{ viewer { id } }", json!({})).await;
    bystander.goes_on(&app).await;
}

#[tokio::test]
async fn a_socket_that_never_says_whose_it_is_is_closed() {
    let app = TestApp::new().await;
    let socket = Bare::open(&app.anonymous()).await;
    assert_eq!(socket.closed().await, 4408);
}
