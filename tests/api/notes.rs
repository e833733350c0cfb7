//! Notes through the whole pipeline: what a model gets to read, how often it is asked, and what its quotes rest on.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::provider::{Behaviour, Call, Endpoint};
use crate::support::socket::{Watch, statuses};
use crate::support::{TestApp, recording};

const SESSION: &str = "query ($id: ID!) { session(id: $id) {
    status progress errorMessage transcriptSegments(first: 100) { nodes { id text } }
    cost { promptTokens completionTokens usd }
    notes { topicSummary therapistNotes patientSummary
        strategies { text evidence { quote segmentId segmentIds startMs endMs verdict match } }
        actionItems { text evidence { quote segmentId segmentIds verdict match } }
        riskFlags { kind source text evidence { quote verdict match } } riskScreens
        run { id kind promptVersion promptTokens costUsd warnings } } } }";

async fn session(client: &Client, id: &str) -> Value {
    client.call(SESSION, json!({ "id": id })).await["session"].clone()
}

async fn retry(client: &Client, id: &str) {
    let query = "mutation ($id: ID!) { retrySession(sessionId: $id) { userErrors { code } } }";
    assert_eq!(client.call(query, json!({ "id": id })).await["retrySession"]["userErrors"], json!([]));
}

async fn extract(client: &Client, id: &str, force: bool) {
    let query = "mutation ($id: ID!, $force: Boolean!) { extractNotes(sessionId: $id, force: $force) {
        userErrors { code } } }";
    let payload = client.call(query, json!({ "id": id, "force": force })).await;
    assert_eq!(payload["extractNotes"]["userErrors"], json!([]));
}

/// Notes of a good length that rest on these quotes, a strategy each.
pub(crate) fn notes_on(quotes: &[&str]) -> Value {
    let strategies: Vec<_> = quotes
        .iter()
        .map(|quote| json!({ "text": format!("On {quote}."), "quote": quote, "segment": 0 }))
        .collect();
    json!({
        "keyTopics": ["sleep", "work", "rest"], "topicSummary": "They talked. They parted.",
        "strategies": strategies, "actionItems": [], "sessionMood": "LOW", "moodTrajectory": "STABLE",
        "therapistNotes": "They talked.", "patientSummary": "You talked.", "riskFlags": [],
    })
}

/// A therapist with a session of Maria's that says these sentences, and nobody has worked on yet.
async fn uploaded(app: &TestApp, sentences: &[&str]) -> (Client, String) {
    app.provider.set_transcript(sentences);
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Maria Santos").await;
    let id = jane.session(&patient, recording("cbr.mp3")).await;
    (jane, id)
}

fn kinds(calls: &[Call]) -> (usize, usize, usize) {
    let merges = calls.iter().filter(|call| call.merges() && !call.repairs()).count();
    let repairs = calls.iter().filter(|call| call.repairs()).count();
    (calls.len() - merges - repairs, merges, repairs)
}

/// The next call is refused because its transcript is too long: what is read then is read in parts.
fn refuse_the_whole(app: &TestApp) {
    app.provider.script(Endpoint::Chat, [Behaviour::coded(400, "context_length_exceeded")]);
}

const LONG: [&str; 24] = [
    "How have you been sleeping since we last met, and what did you do with the list we made together?",
    "Not well, I lie awake and worry about work until two in the morning, and then I get up and clean the kitchen.",
    "What goes through your mind when you lie there, could you walk me through one of those nights from last week?",
    "It is mostly the meeting on Monday, and whether they noticed that I had not read the report they sent around.",
    "And when that thought comes, what do you feel in your body, where does it sit, and does it move at all?",
    "It sits in my chest like a stone, and my hands go cold, and I start to count what could still go wrong.",
    "Let us try the breathing exercise together now, four seconds in and six seconds out, as slowly as you can.",
    "That helped a little, I felt calmer afterwards, although the stone is still there when I pay attention to it.",
    "That is quite normal, it takes practice, and calmer is already a different place from where you were before.",
    "I also wanted to tell you about my neighbour, because we have started to walk together in the evenings.",
    "How did that come about, and what is it like for you to walk with somebody after so many months alone?",
    "She rang the bell and asked, and I said yes before I could think, and it was easier than I had expected.",
    "What did you notice about yourself during that walk, compared with an evening on which you stay at home?",
    "I did not think about the report for a whole hour, and I laughed once, which has not happened for a while.",
    "I would like us to hold on to that, because it tells us that the worry is not there in every place you go.",
    "Yes, it is as if it lived in the flat, and as if it waited for me behind the door until I come back.",
    "Could you write your worries down every evening before you go to bed this week, and close the book afterwards?",
    "Yes, I will write them down every evening and bring the list next time, so that we can look at it together.",
    "And the walks, do you want to plan one more of them, or is that too much for a week with the audit in it?",
    "One more would be good, maybe on Thursday, because Thursday is the evening before the numbers are due.",
    "Then let us say one walk on Thursday, and the list of worries every evening, and no report after nine.",
    "No report after nine will be hard, but I can put the laptop into the cupboard and give her the key.",
    "That is a fine idea, and you can tell me next week what it was like to know that the key is elsewhere.",
    "I will, and I think that I will sleep at least one night, and that would be one more than last week.",
];

#[tokio::test]
async fn evidence_says_how_closely_it_stands_in_the_transcript_and_where() {
    let app = TestApp::new().await;
    let sentences = [
        "I don't want to die, I want it to stop.",
        "I lie awake and, um, worry",
        "about work until two in the morning.",
    ];
    let quotes = [
        "I don't want to die, I want it to stop.",
        "i dont want to die",
        "I lie awake and worry about work until 2 in the morning",
        "I want to die, I want it to stop",
        "I sleep like a stone",
    ];
    app.provider.script(Endpoint::Chat, [Behaviour::Content(notes_on(&quotes).to_string())]);
    let (jane, id) = uploaded(&app, &sentences).await;
    app.run_jobs().await;
    let session = session(&jane, &id).await;
    let ids = &session["transcriptSegments"]["nodes"];
    let evidence: Vec<_> =
        session["notes"]["strategies"].as_array().unwrap().iter().map(|item| &item["evidence"]).collect();
    let matches: Vec<_> = evidence.iter().map(|evidence| evidence["match"].clone()).collect();
    assert_eq!(json!(matches), json!(["EXACT", "NORMALISED", "FUZZY", null, null]));
    let verdicts: Vec<_> = evidence.iter().map(|evidence| evidence["verdict"].clone()).collect();
    assert_eq!(json!(verdicts), json!(["SUPPORTED", "SUPPORTED", "SUPPORTED", "UNSUPPORTED", "UNSUPPORTED"]));
    assert_eq!(evidence[2]["segmentIds"], json!([ids[1]["id"], ids[2]["id"]]));
    assert_eq!(evidence[2]["segmentId"], ids[1]["id"]);
    assert!(evidence[2]["endMs"].as_i64() > evidence[2]["startMs"].as_i64());
    assert_eq!((&evidence[3]["segmentIds"], &evidence[3]["startMs"]), (&json!([]), &json!(null)));
    assert_eq!(evidence[3]["quote"], quotes[3], "what is unsupported is shown");
}

#[tokio::test]
async fn notes_of_before_matches_were_kept_are_still_shown() {
    let app = TestApp::new().await;
    let (jane, id) = uploaded(&app, &LONG[..6]).await;
    app.run_jobs().await;
    app.run(
        "UPDATE extraction_runs SET notes = jsonb_set(notes, '{strategies,0,evidence}',
            (notes #> '{strategies,0,evidence}') - 'match' - 'segment_ids')",
    )
    .await;
    let evidence = session(&jane, &id).await["notes"]["strategies"][0]["evidence"].clone();
    assert_eq!((&evidence["verdict"], &evidence["match"]), (&json!("SUPPORTED"), &json!(null)));
    assert_eq!(evidence["segmentIds"], json!([evidence["segmentId"]]));
}

#[tokio::test]
async fn a_long_transcript_is_read_in_parts_and_merged() {
    let app = TestApp::new().await;
    refuse_the_whole(&app);
    let (jane, id) = uploaded(&app, &LONG).await;
    let watch = Watch::session(&jane, &id).await;
    app.run_jobs().await;
    let history = watch.until_end().await;
    assert_eq!(statuses(&history).last().unwrap(), "PROCESSED");
    let calls = app.provider.calls(Endpoint::Chat).split_off(1);
    let (parts, merges, repairs) = kinds(&calls);
    assert!(parts > 2 && merges >= 1 && repairs == 0, "{parts} {merges} {repairs}");
    for sentence in LONG {
        assert!(calls.iter().any(|call| call.messages[1].1.contains(sentence)), "{sentence}");
    }
    let session = session(&jane, &id).await;
    let notes = &session["notes"];
    assert!(notes["strategies"].as_array().unwrap().len() >= parts - 1);
    assert!(
        notes["strategies"].as_array().unwrap().iter().all(|item| item["evidence"]["verdict"] == "SUPPORTED")
    );
    let tokens = i64::try_from(calls.len()).unwrap() * 1200;
    assert_eq!(notes["run"]["promptTokens"], json!(tokens), "the run has what all calls took");
    assert_eq!(session["cost"]["promptTokens"], json!(tokens));
    assert_eq!(app.count("SELECT count(*) FROM extraction_parts").await, 0, "nothing is left of them");
}

#[tokio::test]
async fn a_retry_pays_only_for_the_parts_that_are_missing() {
    let app = TestApp::new().await;
    refuse_the_whole(&app);
    app.provider.script(Endpoint::Chat, [Behaviour::Ok, Behaviour::coded(400, "bad_request")]);
    let (jane, id) = uploaded(&app, &LONG).await;
    app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "FAILED");
    let paid = usize::try_from(app.count("SELECT count(*) FROM extraction_parts").await).unwrap();
    let before = app.provider.calls(Endpoint::Chat).len();
    assert_eq!(paid, before - 2, "whatever was answered is kept");

    refuse_the_whole(&app);
    retry(&jane, &id).await;
    app.run_jobs().await;
    let processed = session(&jane, &id).await;
    assert_eq!(processed["status"], "PROCESSED", "{processed}");
    let prompts: Vec<_> =
        app.provider.calls(Endpoint::Chat).iter().map(|call| call.messages[1].1.clone()).collect();
    let again = prompts[before..].iter().filter(|prompt| prompts[..before].contains(prompt)).count();
    assert_eq!(again, 2, "only what was refused is asked for again");
    let answered = i64::try_from(prompts.len()).unwrap() - 3;
    assert_eq!(processed["notes"]["run"]["promptTokens"], json!(answered * 1200));
}

#[tokio::test]
async fn an_answer_is_not_paid_for_twice_when_the_call_after_it_fails() {
    let app = TestApp::new().await;
    let quotes = ["not a word of it"];
    let short = Behaviour::Content(json!({ "keyTopics": 3 }).to_string());
    let good = Behaviour::Content(notes_on(&quotes).to_string());
    app.provider.script(Endpoint::Chat, [short, Behaviour::status(503), good]);
    let (jane, id) = uploaded(&app, &LONG[..6]).await;
    while session(&jane, &id).await["status"] != "PROCESSED" {
        assert!(app.run_jobs().await > 0, "nothing is left to do");
    }
    assert_eq!(
        kinds(&app.provider.calls(Endpoint::Chat)),
        (1, 0, 2),
        "the repair is asked for again, the first answer is not"
    );
}

#[tokio::test]
async fn notes_of_the_wrong_shape_fail_after_one_repair_and_a_retry_asks_anew() {
    let app = TestApp::new().await;
    app.provider.script(Endpoint::Chat, [Behaviour::WrongSchema, Behaviour::WrongSchema]);
    let (jane, id) = uploaded(&app, &LONG[..6]).await;
    app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "FAILED");
    assert_eq!(kinds(&app.provider.calls(Endpoint::Chat)), (1, 0, 1));
    assert_eq!(app.count("SELECT count(*) FROM extraction_parts WHERE answer IS NOT NULL").await, 0);
    retry(&jane, &id).await;
    app.run_jobs().await;
    let processed = session(&jane, &id).await;
    assert_eq!(processed["status"], "PROCESSED");
    assert_eq!(kinds(&app.provider.calls(Endpoint::Chat)), (2, 0, 1));
    assert_eq!(processed["notes"]["run"]["promptTokens"], json!(3 * 1200), "all three were paid for");
}

#[tokio::test]
async fn a_model_with_a_smaller_window_than_configured_gets_smaller_parts() {
    let app = TestApp::new().await;
    for _ in 0..2 {
        refuse_the_whole(&app);
    }
    let (jane, id) = uploaded(&app, &[LONG, LONG].concat()).await;
    app.run_jobs().await;
    assert_eq!(session(&jane, &id).await["status"], "PROCESSED");
    let calls = app.provider.calls(Endpoint::Chat);
    let longest = |call: &Call| call.messages[1].1.len();
    let last = calls.iter().rev().find(|call| !call.merges()).unwrap();
    assert!(longest(last) * 3 < longest(&calls[0]), "parts are made smaller until they pass");
}

#[tokio::test]
async fn a_transcript_that_no_model_takes_fails_with_what_to_do() {
    let app = TestApp::new().await;
    app.provider.always(Endpoint::Chat, Behaviour::coded(400, "context_length_exceeded"));
    let (jane, id) = uploaded(&app, &LONG).await;
    app.run_jobs().await;
    let failed = session(&jane, &id).await;
    assert_eq!(failed["status"], "FAILED");
    assert!(failed["errorMessage"].as_str().unwrap().contains("too long"), "{failed}");
    assert!(app.provider.calls(Endpoint::Chat).len() < 12);
}

#[tokio::test]
async fn notes_that_are_forced_are_written_anew_from_the_first_call_on() {
    let app = TestApp::new().await;
    refuse_the_whole(&app);
    let (jane, id) = uploaded(&app, &LONG).await;
    app.run_jobs().await;
    let paid = app.provider.calls(Endpoint::Chat).len();
    let first = session(&jane, &id).await["notes"]["run"]["id"].clone();
    extract(&jane, &id, false).await;
    app.run_jobs().await;
    assert_eq!(app.provider.calls(Endpoint::Chat).len(), paid);
    assert_eq!(session(&jane, &id).await["notes"]["run"]["id"], first, "the run there is is shown");
    refuse_the_whole(&app);
    extract(&jane, &id, true).await;
    app.run_jobs().await;
    assert_eq!(app.provider.calls(Endpoint::Chat).len(), 2 * paid);
    assert_ne!(session(&jane, &id).await["notes"]["run"]["id"], first);
}

/// Every body that a model gets: of extraction, parts, merge and repair.
#[tokio::test]
async fn no_call_holds_a_name_or_an_address_of_the_record_however_it_is_spelled() {
    let mut sentences = LONG.to_vec();
    let told = [
        "Hello Zoë, hello ZOE, it is Jane, and this is Zoe's first time here, says O Neill.",
        "My address is zoe dot oneill 92 at mail dot example dot com, or zoe.oneill92@mail.example.com if you type.",
        "Call me at 0170 555 01 99, that is plus four nine, one seven zero, five five five, oh one nine nine.",
        "I spell it: zero one seven zero, triple five, zero one double nine, and O'Neill's with two Ls.",
    ];
    for (at, sentence) in told.iter().enumerate() {
        sentences.insert(at * 6, sentence);
        sentences.push(sentence);
    }
    let app = TestApp::new().await;
    refuse_the_whole(&app);
    // Every answer is bad at first, so that there are repairs of parts and of merges.
    app.provider.always(Endpoint::Chat, Behaviour::RightWhenRepaired);
    app.provider.set_transcript(&sentences);
    let jane = app.therapist("jane").await;
    let record = json!({ "name": "Zoë O'Neill", "email": "zoe.oneill92@mail.example.com", "phone": "+49 170 5550199" });
    let made = jane.create_patient(record).await;
    let patient = made["patient"]["id"].as_str().unwrap();
    let payload =
        jane.upload(json!({ "patientId": patient }), "zoe-oneill-2026.mp3", recording("cbr.mp3")).await;
    let id = payload["session"]["id"].as_str().unwrap().to_owned();
    app.run_jobs().await;
    let processed = session(&jane, &id).await;
    assert_eq!(processed["status"], "PROCESSED", "{processed}");

    let calls = app.provider.calls(Endpoint::Chat);
    let (parts, merges, repairs) = kinds(&calls);
    assert!(parts > 3 && merges >= 1 && repairs == parts - 1 + merges, "{parts} {merges} {repairs}");
    for call in &calls {
        let body = call.json.to_string().to_lowercase();
        let digits: String = body.chars().filter(char::is_ascii_digit).collect();
        for secret in [
            "zoe",
            "zoë",
            "neill",
            "jane",
            "example.com",
            "example dot",
            "mail dot",
            "55501",
            "double nine",
            "one nine nine",
        ] {
            assert!(!body.contains(secret), "{secret} is in a prompt: {body}");
        }
        assert!(!digits.contains("5550199"), "the number is in a prompt");
    }
    let quotes = processed["notes"]["strategies"]
        .as_array()
        .unwrap()
        .iter()
        .chain(processed["notes"]["actionItems"].as_array().unwrap());
    let quotes: Vec<_> = quotes.map(|item| item["evidence"].clone()).collect();
    assert!(quotes.iter().all(|evidence| evidence["verdict"] == "SUPPORTED"), "{quotes:?}");
    let text = json!(quotes).to_string();
    assert!(
        text.contains("double nine") && !text.contains("[patient-"),
        "the record's words are back in the quotes: {text}"
    );
}

#[tokio::test]
async fn what_the_lexical_screen_and_the_model_both_raise_is_listed_once_by_each() {
    let app = TestApp::new().await;
    let mut notes = notes_on(&[]);
    notes["riskFlags"] = json!([
        { "kind": "SUICIDAL_IDEATION", "severity": "HIGH", "text": "The client speaks of suicide.", "quote": "I want to kill myself.", "segment": 1 },
        { "kind": "SUICIDAL_IDEATION", "severity": "LOW", "text": "The client speaks of suicide.", "quote": "I want to kill myself", "segment": 1 },
        { "kind": "OTHER", "severity": "LOW", "text": "", "quote": "", "segment": 0 },
    ]);
    // The blank flag is a reason for a repair; the second answer is no better, and is kept.
    let answer = Behaviour::Content(notes.to_string());
    app.provider.script(Endpoint::Chat, [answer.clone(), answer]);
    let (jane, id) = uploaded(&app, &["How are you?", "I want to kill myself.", "Since when?"]).await;
    app.run_jobs().await;
    let notes = session(&jane, &id).await["notes"].clone();
    let flags = notes["riskFlags"].as_array().unwrap();
    let sources: Vec<_> =
        flags.iter().map(|flag| (flag["source"].as_str().unwrap(), flag["kind"].as_str().unwrap())).collect();
    assert_eq!(
        sources,
        [("LEXICAL", "SUICIDAL_IDEATION"), ("MODEL", "SUICIDAL_IDEATION"), ("MODEL", "OTHER")]
    );
    assert_eq!(flags[2]["evidence"]["verdict"], "UNSUPPORTED");
    assert!(!flags[2]["text"].as_str().unwrap().is_empty());
    let warnings = notes["run"]["warnings"].to_string();
    assert!(warnings.contains("riskFlags[2].quote is empty."), "{warnings}");
    assert_eq!(kinds(&app.provider.calls(Endpoint::Chat)), (1, 0, 1));
}
