//! Webhooks over several processes: workers that are killed, two workers at once, and the way out.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{DEVELOPMENT, create, deliveries, schedule, subscribed};
use crate::hardening::Server;
use crate::processes::{Fleet, Process};
use crate::support::PASSWORD;
use crate::support::client::Client;
use crate::support::provider::ScriptedProvider;
use crate::support::receiver::{Reaction, Receiver};

/// Waits until the newest delivery of a webhook is in this state.
async fn until(client: &Client, webhook: &str, state: &str) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let newest = deliveries(client, webhook).await.into_iter().next().unwrap_or_default();
        if newest["state"] == state {
            return newest;
        }
        assert!(Instant::now() < deadline, "not {state}: {newest}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn start(fleet: &Fleet, args: &[&str], settings: &[(&str, &str)]) -> Process {
    let own = [("DATABASE_URL", fleet.database.as_str()), DEVELOPMENT];
    fleet.start_with(args, &[&own[..], settings].concat()).await
}

#[tokio::test]
async fn a_delivery_whose_worker_is_killed_is_made_again_by_another() {
    let fleet = Fleet::new().await;
    let receiver = Receiver::start().await;
    let server = start(&fleet, &["serve", "--no-worker"], &[]).await;
    let mut doomed = start(&fleet, &["worker"], &[]).await;
    let jane = server.therapist().await;
    let (id, secret) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let closed = receiver.close();
    schedule(&jane, &jane.patient("Daniel").await).await;
    receiver.reached(1).await;
    doomed.kill();
    drop(closed);
    let _heir = start(&fleet, &["worker"], &[]).await;
    let told = receiver.reached(2).await;
    assert_eq!(
        (told[0].id(), &told[0].body),
        (told[1].id(), &told[1].body),
        "the receiver knows that it is the same"
    );
    assert!(told[1].is_signed_by(&secret));
    let delivery = until(&jane, &id, "DELIVERED").await;
    assert_eq!(delivery["attempts"], 2);
}

/// Right before the outcome is put down, and right after the beginning was.
#[tokio::test]
async fn wherever_a_worker_dies_nothing_is_lost() {
    for place in ["webhook.begun", "webhook.sent", "job.claimed:2", "job.acknowledge"] {
        let fleet = Fleet::new().await;
        let receiver = Receiver::start().await;
        let server = start(&fleet, &["serve", "--no-worker"], &[]).await;
        let jane = server.therapist().await;
        let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
        schedule(&jane, &jane.patient("Daniel").await).await;
        let _doomed = start(&fleet, &["worker"], &[("FAILPOINT", place)]).await;
        let _heir = start(&fleet, &["worker"], &[]).await;
        until(&jane, &id, "DELIVERED").await;
        let told = receiver.told();
        assert!((1..=2).contains(&told.len()), "{place}: {}", told.len());
        assert!(told.iter().all(|one| one.id() == told[0].id()), "{place}");
    }
}

#[tokio::test]
async fn two_workers_deliver_each_of_many_once() {
    let fleet = Fleet::new().await;
    let receiver = Receiver::start().await;
    let server = start(&fleet, &["serve", "--no-worker"], &[]).await;
    let _one = start(&fleet, &["worker"], &[]).await;
    let _other = start(&fleet, &["worker"], &[]).await;
    let jane = server.therapist().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    let patient = jane.patient("Daniel").await;
    futures::future::join_all((0..40).map(|_| schedule(&jane, &patient))).await;
    receiver.reached(40).await;
    until(&jane, &id, "DELIVERED").await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for told in receiver.told() {
        *times.entry(told.id().to_owned()).or_default() += 1;
    }
    assert_eq!((times.len(), times.values().max()), (40, Some(&1)));
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked() {
    let fleet = Fleet::new().await;
    let (receiver, proxy) = (Receiver::start().await, Receiver::start().await);
    let address = format!("http://{}", proxy.address);
    let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"];
    let settings = proxies.map(|variable| (variable, address.as_str()));
    let server = start(&fleet, &["serve"], &settings).await;
    let jane = server.therapist().await;
    let (id, _) = subscribed(&jane, &receiver, &["SESSION_SCHEDULED"]).await;
    schedule(&jane, &jane.patient("Daniel").await).await;
    until(&jane, &id, "DELIVERED").await;
    assert_eq!((receiver.told().len(), proxy.told().len()), (1, 0));
}

/// However it goes: delivered, refused, redirected, nobody there, an address that is not taken, a secret that changes.
#[tokio::test]
async fn neither_address_nor_secret_of_a_webhook_stands_in_a_log() {
    let (data, provider) = (tempfile::tempdir().unwrap(), ScriptedProvider::start().await);
    let server = Server::with(&data, &provider, &[DEVELOPMENT]).await;
    let client = Client::new(server.address);
    let input =
        json!({ "email": "jane@example.com", "password": PASSWORD, "fullName": "Jane", "role": "THERAPIST" });
    let jane = client.with_token(client.sign_up(input).await["accessToken"].as_str().unwrap());
    let receiver = Receiver::start().await;
    let elsewhere = "https://receiver.example/verborgen?token=versteck";
    receiver.script([
        Reaction::status(204),
        Reaction::status(500),
        Reaction::status(302).with("location", elsewhere),
        Reaction::status(410),
    ]);
    let mut secrets = Vec::new();
    let (id, secret) = subscribed(&jane, &receiver, &["EXPORT_READY"]).await;
    secrets.push(secret);
    for state in ["DELIVERED", "FAILED", "FAILED"] {
        super::act(&jane, "sendTestWebhook", &id).await;
        until(&jane, &id, state).await;
    }
    let payload = super::act(&jane, "rotateWebhookSecret", &id).await;
    secrets.push(payload["secret"].as_str().unwrap().to_owned());
    super::act(&jane, "sendTestWebhook", &id).await;
    until(&jane, &id, "FAILED").await;
    assert_eq!(receiver.told().len(), 4);
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let input = |url: &str| json!({ "url": url, "events": ["EXPORT_READY"], "description": "Zauberfluss" });
    let made = create(&jane, input(&format!("http://{unused}/verborgen"))).await;
    let id = made["webhook"]["id"].as_str().unwrap_or_else(|| panic!("{made}"));
    super::act(&jane, "sendTestWebhook", id).await;
    until(&jane, id, "FAILED").await;
    for refused in [elsewhere, "https://user:versteck@10.0.0.1/verborgen"] {
        let payload = create(&jane, input(refused)).await;
        assert!(payload["webhook"].is_null(), "{payload}");
    }

    let log = server.stop();
    assert!(log.contains("deliver_webhook"), "deliveries are logged: {log}");
    for secret in &secrets {
        let key = secret.strip_prefix("whsec_").unwrap();
        assert_eq!(log.lines().find(|line| line.contains(key)), None, "a secret");
    }
    let addresses = [receiver.address.to_string(), unused.to_string()];
    let names = [
        "geheimnis",
        "/hooks/a",
        "verborgen",
        "versteck",
        "receiver.example",
        "10.0.0.1",
        "Zauberfluss",
        "whsec_",
        "v1,",
    ];
    for word in names.into_iter().chain(addresses.iter().map(String::as_str)) {
        assert_eq!(log.lines().find(|line| line.contains(word)), None, "{word}");
    }
}

/// A server of HTTPS with a certificate for `localhost` that nobody signed but itself; says its port, then what it is told.
const SECURE: &str = "
import http.server, ssl, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        print('told', self.headers['webhook-id'], flush=True)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

/// Killed when dropped.
struct Secure {
    child: std::process::Child,
    certificate: String,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn secure() -> Secure {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut child = Command::new("python3")
        .args(["-c", SECURE, &certificate, &key])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next().unwrap().unwrap().parse().unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    Secure { child, certificate, port, _folder: folder }
}

#[tokio::test]
async fn a_certificate_is_verified() {
    let receiver = tokio::task::spawn_blocking(secure).await.unwrap();
    let trusting = [("SSL_CERT_FILE", receiver.certificate.as_str())];
    for (settings, state, error) in
        [(&[][..], "FAILED", Some("certificate")), (&trusting[..], "DELIVERED", None)]
    {
        let fleet = Fleet::new().await;
        let server = start(&fleet, &["serve"], settings).await;
        let jane = server.therapist().await;
        let input =
            json!({ "url": format!("https://localhost:{}/", receiver.port), "events": ["EXPORT_READY"] });
        let made = create(&jane, input).await;
        let id = made["webhook"]["id"].as_str().unwrap_or_else(|| panic!("{made}"));
        super::act(&jane, "sendTestWebhook", id).await;
        let delivery = until(&jane, id, state).await;
        let told = delivery["lastError"].as_str();
        assert_eq!(told.is_some(), error.is_some(), "{delivery}");
        assert!(error.is_none_or(|word| told.unwrap().contains(word)), "{delivery}");
    }
}
