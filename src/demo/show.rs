//! What the demo prints.

use std::io::{Write, stdout};
use std::net::SocketAddr;

use serde_json::Value;

pub(super) fn line(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "  {text}")?)
}

/// A state of the session, as the subscription tells it.
pub(super) fn progress(session: &Value) -> anyhow::Result<()> {
    let percent = session["progress"].as_i64().unwrap_or(0);
    let bar = "█".repeat(usize::try_from(percent / 5).unwrap_or(0));
    let status = session["status"].as_str().unwrap_or("-");
    line(&format!("v{:<3} {status:<17} {percent:>3} % {bar}", session["version"].as_i64().unwrap_or(0)))
}

/// The finished session.
pub(super) fn notes(session: &Value) -> anyhow::Result<()> {
    let notes = &session["notes"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    if notes.is_null() {
        return line(&format!("{}: {}", text(&session["status"]), text(&session["errorMessage"])));
    }
    heading("Transcript")?;
    for segment in each(&session["transcriptSegments"]["nodes"]) {
        line(&format!("{}  {}", time(&segment["startMs"]), text(&segment["text"])))?;
    }
    line(&format!("… {} utterances", session["transcriptSegments"]["totalCount"]))?;
    let run = &notes["run"];
    heading(&format!(
        "Notes ({}, {} {}, a draft)",
        text(&run["kind"]),
        text(&run["model"]),
        text(&run["promptVersion"])
    ))?;
    let topics: Vec<String> = each(&notes["keyTopics"]).map(text).collect();
    line(&format!("Topics      {}", topics.join(", ")))?;
    line(&format!(
        "Mood        {} ({}), {}",
        text(&notes["sessionMood"]),
        notes["moodScore"],
        text(&notes["moodTrajectory"])
    ))?;
    paragraph("Summary", &text(&notes["topicSummary"]))?;
    items("Strategies", &notes["strategies"])?;
    items("Action items", &notes["actionItems"])?;
    items("Risk flags", &notes["riskFlags"])?;
    let screens: Vec<String> = each(&notes["riskScreens"]).map(text).collect();
    line(&format!("Screened by {}; an empty list is no proof that there is no risk.", screens.join(", ")))?;
    paragraph("For the therapist", &text(&notes["therapistNotes"]))?;
    paragraph("For the patient", &text(&notes["patientSummary"]))?;
    for warning in each(&run["warnings"]) {
        line(&format!("Warning: {}", text(warning)))?;
    }
    Ok(())
}

/// Where to go on.
pub(super) fn farewell(address: SocketAddr, email: &str, password: &str) -> anyhow::Result<()> {
    heading("The server is up")?;
    line(&format!("API         http://{address}/graphql"))?;
    line(&format!("GraphiQL    http://{address}/graphiql"))?;
    line(&format!("Log-in      {email}  {password}"))?;
    line("Stop it with Ctrl-C; a later run finds this practice again.")
}

fn items(title: &str, items: &Value) -> anyhow::Result<()> {
    heading(title)?;
    for item in each(items) {
        let evidence = &item["evidence"];
        let kind = item["kind"].as_str().map(|kind| format!("{kind}: ")).unwrap_or_default();
        line(&format!(
            "{}  {kind}“{}”",
            time(&evidence["startMs"]),
            evidence["quote"].as_str().unwrap_or("-")
        ))?;
    }
    if each(items).next().is_none() {
        line("none found")?;
    }
    Ok(())
}

fn paragraph(title: &str, text: &str) -> anyhow::Result<()> {
    heading(title)?;
    let mut row = String::new();
    for word in text.split_whitespace() {
        if !row.is_empty() && row.chars().count() + word.chars().count() > 95 {
            line(&row)?;
            row.clear();
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row.push_str(word);
    }
    line(&row)
}

fn heading(title: &str) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "\n{title}")?)
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn time(ms: &Value) -> String {
    let seconds = ms.as_i64().unwrap_or(0) / 1000;
    format!("{:>2}:{:02}", seconds / 60, seconds % 60)
}
