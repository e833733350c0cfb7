//! What the demo prints.

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

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

/// The figures of the practice.
pub(super) fn practice(figures: &Value) -> anyhow::Result<()> {
    let overview = &figures["practiceOverview"];
    heading("The practice (around the recording a year was made up)")?;
    line(&format!(
        "{} patients, {} of them active; {} sessions this week, {} this month, {} to come; {} kept",
        overview["totalPatients"],
        overview["activePatients"],
        overview["sessionsThisWeek"],
        overview["sessionsThisMonth"],
        overview["upcomingSessions"],
        percent(&overview["completionRate"])
    ))?;
    trends(&figures["sessionTrends"])?;
    topics(&figures["commonTopics"])?;
    patient(&figures["patientProgress"])
}

fn trends(trends: &Value) -> anyhow::Result<()> {
    heading("Sessions a week: █ held, ░ called off or missed")?;
    for point in each(&trends["dataPoints"]) {
        let count = |name: &str| usize::try_from(point[name].as_u64().unwrap_or(0)).unwrap_or(0);
        let (held, lost) = (count("sessionsCompleted"), count("sessionsCancelled") + count("sessionsNoShow"));
        let bar = "█".repeat(held) + &"░".repeat(lost);
        line(&format!("{}  {bar} {held}", point["date"].as_str().unwrap_or("-")))?;
    }
    let summary = &trends["summary"];
    line(&format!(
        "{} sessions in 90 days, {:.1} a day; most on {}; {} kept",
        summary["totalSessions"],
        summary["avgPerDay"].as_f64().unwrap_or(0.0),
        summary["peakDay"].as_str().unwrap_or("-"),
        percent(&summary["completionRate"])
    ))
}

fn topics(topics: &Value) -> anyhow::Result<()> {
    heading("Topics of 12 weeks: sessions, patients, later half against earlier half")?;
    for topic in each(&topics["topics"]) {
        let arrow = match topic["trend"].as_str() {
            Some("INCREASING") => "↑",
            Some("DECREASING") => "↓",
            _ => "→",
        };
        let name = topic["topic"].as_str().unwrap_or("-");
        line(&format!("{name:<28} {:>3} {:>3}  {arrow}", topic["frequency"], topic["patientsAffected"]))?;
    }
    Ok(())
}

fn patient(progress: &Value) -> anyhow::Result<()> {
    let mood = &progress["moodTrend"];
    heading(&format!("{} in 12 weeks", progress["patientName"].as_str().unwrap_or("-")))?;
    line(&format!(
        "{} sessions, {} kept; mood {}, {}, {} against the half before",
        progress["totalSessions"],
        percent(&progress["attendanceRate"]),
        mood["current"].as_str().unwrap_or("not known"),
        mood["trajectory"].as_str().unwrap_or("no trend"),
        mood["changePercent"].as_f64().map_or_else(|| "not known".into(), |change| format!("{change:+.0} %"))
    ))?;
    line(&format!("week by week  {}", each(&progress["dataPoints"]).map(step).collect::<String>()))
}

/// A week's mood, 1 to 5, as a bar; a dot where there was none.
fn step(week: &Value) -> char {
    match week["avgMoodScore"].as_f64() {
        None => '·',
        Some(..1.5) => '▁',
        Some(..2.5) => '▂',
        Some(..3.5) => '▄',
        Some(..4.5) => '▆',
        Some(_) => '█',
    }
}

fn percent(rate: &Value) -> String {
    rate.as_f64().map_or_else(|| "nothing".into(), |rate| format!("{:.0} %", rate * 100.0))
}

/// What follows.
pub(super) fn documents_begin() -> anyhow::Result<()> {
    heading("Documents: the notes of the session, and a progress report")
}

/// Where the documents are.
pub(super) fn documents(files: &[PathBuf]) -> anyhow::Result<()> {
    for file in files {
        line(&file.canonicalize().unwrap_or_else(|_| file.clone()).display().to_string())?;
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
