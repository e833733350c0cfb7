//! The samples of docs/api.md that verify what a webhook is told, run as they stand there.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use therapybridge::clock::{Clock, SystemClock};

use super::{DEVELOPMENT, act, subscribed};
use crate::support::receiver::{Receiver, Told};
use crate::support::{TestApp, root};

/// The code of the documentation that begins with this comment, without its fences.
fn sample(first_line: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/api.md")).unwrap();
    let begins = page.find(first_line).unwrap_or_else(|| panic!("{first_line} is not in docs/api.md"));
    let code = &page[begins..];
    code[..=code.find("\n```").unwrap()].to_owned()
}

/// Runs a program over what was told, as JSON on its input; whether it ended well, and what it said.
fn run(program: &str, file: &Path, told: &Value) -> (bool, String) {
    let mut child = Command::new(program)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn input(secret: &str, told: &Told) -> Value {
    let headers: serde_json::Map<_, _> =
        told.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap()))).collect();
    json!({ "secret": secret, "headers": headers, "body": told.body })
}

const PYTHON: &str = "
import json, sys
told = json.load(sys.stdin)
print(verify(told['secret'], told['headers'], told['body'].encode())['type'])
";
const NODE: &str = "
let text = '';
for await (const piece of process.stdin) text += piece;
const told = JSON.parse(text);
console.log(verify(told.secret, told.headers, told.body).type);
";

#[tokio::test]
async fn the_samples_take_what_was_signed_by_either_secret_and_refuse_everything_else() {
    let app = TestApp::with(&[DEVELOPMENT]).await;
    // The samples go by the machine's clock.
    app.clock.advance(SystemClock.now() - app.clock.now());
    let (jane, receiver) = (app.therapist("jane").await, Receiver::start().await);
    let (id, old) = subscribed(&jane, &receiver, &["EXPORT_READY"]).await;
    let new = act(&jane, "rotateWebhookSecret", &id).await["secret"].as_str().unwrap().to_owned();
    act(&jane, "sendTestWebhook", &id).await;
    app.run_jobs().await;
    let told = receiver.reached(1).await.remove(0);
    let folder = tempfile::tempdir().unwrap();
    for (program, name, code) in [
        ("python3", "verify.py", sample("# Verifies a webhook.") + PYTHON),
        ("node", "verify.mjs", sample("// Verifies a webhook.") + NODE),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, code).unwrap();
        for secret in [&old, &new] {
            assert_eq!(
                run(program, &file, &input(secret, &told)),
                (true, "webhook.test\n".into()),
                "{program}"
            );
        }
        let good = input(&new, &told);
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let bad = [
            ("secret", json!(other)),
            ("body", json!(told.body.replace("webhook.test", "export.ready"))),
            ("webhook-id", json!("another")),
            ("webhook-timestamp", json!("1767000000")),
            ("webhook-signature", json!("v1,AAAA v2,BBBB")),
            ("webhook-signature", json!("")),
        ];
        for (what, value) in bad {
            let mut tampered = good.clone();
            let place =
                if good.get(what).is_some() { &mut tampered[what] } else { &mut tampered["headers"][what] };
            *place = value;
            let (ended_well, said) = run(program, &file, &tampered);
            assert!(!ended_well, "{program} takes another {what}: {said}");
        }
    }
}
