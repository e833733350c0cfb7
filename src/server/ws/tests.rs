use futures::SinkExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::super::seam::Limits;
use super::super::test_server::{SEATS, TestServer};
use super::*;

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(server: &TestServer) -> Self {
        Self::speaking(server, Some(PROTOCOL)).await
    }

    async fn speaking(server: &TestServer, protocol: Option<&str>) -> Self {
        Self(connect_async(Self::request(server, protocol)).await.unwrap().0)
    }

    fn request(server: &TestServer, protocol: Option<&str>) -> tungstenite::handshake::client::Request {
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        request
    }

    /// A connection that was acknowledged.
    async fn open(server: &TestServer) -> Self {
        let mut client = Self::connect(server).await;
        client.say(json!({"type": "connection_init", "payload": {"authorization": "Bearer good"}})).await;
        assert_eq!(client.hear().await, json!({"type": "connection_ack"}));
        client
    }

    async fn say(&mut self, message: Value) {
        self.say_text(message.to_string()).await;
    }

    async fn say_text(&mut self, text: String) {
        self.0.send(tungstenite::Message::text(text)).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    async fn hear(&mut self) -> Value {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                tungstenite::Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                tungstenite::Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            if let tungstenite::Message::Close(frame) = self.0.next().await.unwrap().unwrap() {
                return frame.unwrap().code.into();
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_streams_and_completes() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    client.subscribe("1", "subscription{count(to: 2)}").await;
    for count in 1..=2 {
        let mut next = json!({"type": "next", "id": "1", "payload": {"data": {"count": count}}});
        if count == 1 {
            let cost = json!({"requested": 1, "limit": 50_000, "remaining": 49_999});
            next["payload"]["extensions"] = json!({ "cost": cost });
        }
        assert_eq!(client.hear().await, next);
    }
    assert_eq!(client.hear().await, json!({"type": "complete", "id": "1"}));
}

#[tokio::test]
async fn queries_and_mutations_work_too_and_know_the_asker() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    for (query, data) in [("{who}", json!({"who": "somebody"})), ("mutation{bump}", json!({"bump": 1}))] {
        client.subscribe("1", query).await;
        assert_eq!(client.hear().await["payload"]["data"], data);
        assert_eq!(client.hear().await["type"], "complete");
    }
}

#[tokio::test]
async fn fields_keep_the_order_of_the_query() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    client.subscribe("1", "{who hello}").await;
    let text = client.0.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(text.contains(r#""data":{"who":"somebody","hello":"Hello, you!"}"#), "{text}");
}

#[tokio::test]
async fn errors_end_the_operation_and_not_the_socket() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    let killer = format!("{}{}", "{a".repeat(2_000), "}".repeat(2_000));
    for (query, code) in [
        ("{", "BAD_REQUEST"),
        (killer.as_str(), "LIMIT_EXCEEDED"),
        ("{nothing}", "VALIDATION_FAILED"),
        ("subscription{refused}", "NOT_FOUND"),
        ("{explode}", "INTERNAL"),
    ] {
        client.subscribe("1", query).await;
        let message = client.hear().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{message}");
        assert_eq!(message["payload"][0]["extensions"]["code"], code);
        assert_eq!(message["payload"][0]["extensions"]["requestId"], "r1");
    }
    client.subscribe("1", "{secret}").await;
    let message = client.hear().await;
    assert_eq!((&message["type"], &message["payload"]["data"]), (&json!("next"), &Value::Null));
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_code() {
    let server = TestServer::start().await;
    let init = json!({"type": "connection_init"}).to_string();
    let forever =
        json!({"type": "subscribe", "id": "1", "payload": {"query": "subscription{forever}"}}).to_string();
    let with_token =
        |token: Value| json!({"type": "connection_init", "payload": {"Authorization": token}}).to_string();
    let nested = format!(r#"{{"type":"ping","payload":{}{}}}"#, "[".repeat(9_000), "]".repeat(9_000));
    for (messages, code) in [
        (vec!["{".to_owned()], 4400),
        (vec!["[]".to_owned()], 4400),
        (vec![r#"{"type":"nonsense"}"#.to_owned()], 4400),
        (vec![nested], 4400),
        (vec![r#"{"type":"ping","payload":"x"}"#.to_owned()], 4400),
        (vec![r#"{"type":"pong","payload":[]}"#.to_owned()], 4400),
        (
            vec![init.clone(), r#"{"type":"subscribe","id":"","payload":{"query":"{hello}"}}"#.to_owned()],
            4400,
        ),
        (vec![init.clone(), r#"{"type":"subscribe","id":"1"}"#.to_owned()], 4400),
        (vec![forever.clone()], 4401),
        (vec![with_token(json!("Bearer bad"))], 4403),
        (vec![with_token(json!(1))], 4400),
        (vec![with_token(json!("Bearer later"))], 1013),
        (vec![with_token(json!("Bearer spent"))], 4403),
        (vec![init.clone(), forever.clone(), forever], 4409),
        (vec![init.clone(), init], 4429),
        (vec![" ".repeat((1 << 20) + 1)], 1009),
    ] {
        let mut client = Client::connect(&server).await;
        for message in &messages {
            client.say_text(message.clone()).await;
        }
        assert_eq!(client.close_code().await, code, "{:.200}", messages.concat());
    }
    let mut client = Client::open(&server).await;
    client.0.send(tungstenite::Message::binary(vec![1])).await.unwrap();
    assert_eq!(client.close_code().await, 4400);
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    client.subscribe("1", "subscription{forever}").await;
    let close = tungstenite::protocol::CloseFrame { code: 1000.into(), reason: "".into() };
    client.0.send(tungstenite::Message::Close(Some(close))).await.unwrap();
    assert_eq!(client.close_code().await, 1000);
}

#[tokio::test]
async fn another_subprotocol_or_none_is_not_acceptable() {
    let server = TestServer::start().await;
    let mut client = Client::speaking(&server, None).await;
    assert_eq!(client.close_code().await, 4406);
}

#[tokio::test]
async fn silence_before_the_init_is_closed() {
    let server = TestServer::with_limits(Limits { init_time: Duration::ZERO, ..Limits::default() }).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.close_code().await, 4408);
}

#[tokio::test]
async fn pings_are_answered_with_their_payload() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type": "ping"})).await;
    assert_eq!(client.hear().await, json!({"type": "pong"}));
    client.say(json!({"type": "pong"})).await;
    client.say(json!({"type": "ping", "payload": {"a": 1}})).await;
    assert_eq!(client.hear().await, json!({"type": "pong", "payload": {"a": 1}}));
}

#[tokio::test]
async fn the_server_pings_and_gives_a_silent_client_up() {
    let limits = Limits { keep_alive: Duration::from_millis(1), ..Limits::default() };
    let server = TestServer::with_limits(limits).await;
    let mut client = Client::connect(&server).await;
    assert!(matches!(client.0.next().await.unwrap().unwrap(), tungstenite::Message::Ping(_)));
    // Nobody polls the client now, so nobody answers the ping.
    server.state.sockets.close();
    server.state.sockets.wait().await;
}

#[tokio::test]
async fn a_completed_id_is_free_again() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    for _ in 0..50 {
        client.subscribe("1", "subscription{forever}").await;
        assert_eq!(client.hear().await["payload"]["data"]["forever"], 1);
        client.say(json!({"type": "complete", "id": "1"})).await;
    }
}

#[tokio::test]
async fn operations_of_a_socket_are_bounded() {
    let limits = Limits { socket_operations: 2, ..Limits::default() };
    let server = TestServer::with_limits(limits).await;
    let mut client = Client::open(&server).await;
    for id in ["1", "2"] {
        client.subscribe(id, "subscription{forever}").await;
        assert_eq!(client.hear().await["type"], "next");
    }
    client.subscribe("3", "subscription{forever}").await;
    assert_eq!(client.hear().await["payload"][0]["extensions"]["code"], "LIMIT_EXCEEDED");
}

#[tokio::test]
async fn a_revoked_log_in_closes_the_socket() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    server.revoked.cancel();
    assert_eq!(client.close_code().await, 4403);
}

#[tokio::test]
async fn a_stopping_server_says_goodbye() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    server.state.shutdown.cancel();
    assert_eq!(client.close_code().await, 1001);
    drop(client);
    server.state.sockets.close();
    server.state.sockets.wait().await;
}

#[tokio::test]
async fn a_large_result_passes_the_small_buffers() {
    let server = TestServer::start().await;
    let mut client = Client::open(&server).await;
    let name = "a".repeat(200_000);
    let payload = json!({"query": "query($n: String){hello(name: $n)}", "variables": {"n": name}});
    client.say(json!({"type": "subscribe", "id": "1", "payload": payload})).await;
    assert_eq!(client.hear().await["payload"]["data"]["hello"].as_str().unwrap().len(), 200_008);
}

#[tokio::test]
async fn one_socket_too_many_is_closed_and_a_seat_that_was_left_is_taken() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for _ in 0..SEATS {
        clients.push(Client::open(&server).await);
    }
    let mut late = Client::connect(&server).await;
    late.say(json!({"type": "connection_init"})).await;
    assert_eq!(late.close_code().await, 1013);
    clients.pop().unwrap().0.close(None).await.unwrap();
    // The seat is free when the server has seen the end of it.
    let patience = Duration::from_secs(60);
    let again = async {
        loop {
            let mut client = Client::connect(&server).await;
            client.say(json!({"type": "connection_init"})).await;
            if let tungstenite::Message::Text(_) = client.0.next().await.unwrap().unwrap() {
                return;
            }
        }
    };
    tokio::time::timeout(patience, again).await.expect("the seat is free again");
}

#[tokio::test]
async fn those_who_do_not_say_who_they_are_do_not_fill_the_hall() {
    let server = TestServer::start().await;
    let mut silent = Vec::new();
    for _ in 0..SEATS {
        silent.push(Client::connect(&server).await);
    }
    let refused = connect_async(Client::request(&server, Some(PROTOCOL))).await;
    let Err(tungstenite::Error::Http(answer)) = refused else { panic!("it should be refused") };
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
    // Whoever says who they are makes room at the door.
    let mut first = silent.pop().unwrap();
    first.say(json!({"type": "connection_init"})).await;
    assert_eq!(first.hear().await["type"], "connection_ack");
    Client::open(&server).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let limits = Limits { idle_time: Duration::from_millis(100), ..Limits::default() };
    let server = TestServer::with_limits(limits).await;
    let mut client = Client::open(&server).await;
    // Nobody reads the answers: sooner or later there is no room for another one.
    let payload =
        json!({"query": "query($n: String){hello(name: $n)}", "variables": {"n": "a".repeat(500_000)}});
    for id in 0..200 {
        let ask = json!({"type": "subscribe", "id": id.to_string(), "payload": payload}).to_string();
        if client.0.send(tungstenite::Message::text(ask)).await.is_err() {
            break;
        }
    }
    server.state.sockets.close();
    tokio::time::timeout(Duration::from_mins(1), server.state.sockets.wait()).await.expect("given up");
    drop(client);
}
