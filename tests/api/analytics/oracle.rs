//! What the four queries should say: worked out from raw rows, day by day and session by session, without an eye on speed. The
//! definitions are those of the contract; nothing here is shared with the product.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate, TimeDelta};
use serde_json::{Value, json};

use super::plan::{Attendance, MOODS, Plan, Session, TOPICS};

fn today(plan: &Plan) -> NaiveDate {
    plan.now.with_timezone(&plan.zone).date_naive()
}

fn monday(mut day: NaiveDate) -> NaiveDate {
    while day.weekday() != chrono::Weekday::Mon {
        day -= TimeDelta::days(1);
    }
    day
}

/// So many days, of which the last is today.
fn window(plan: &Plan, days: i64) -> Vec<NaiveDate> {
    (0..days).rev().map(|ago| today(plan) - TimeDelta::days(ago)).collect()
}

fn count(sessions: &[&Session], attendance: Attendance) -> i64 {
    i64::try_from(sessions.iter().filter(|session| session.attendance == attendance).count()).unwrap()
}

fn share(part: i64, whole: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    if whole == 0 { Value::Null } else { json!(part as f64 / whole as f64) }
}

fn completion(sessions: &[&Session]) -> Value {
    let completed = count(sessions, Attendance::Completed);
    share(completed, completed + count(sessions, Attendance::Cancelled) + count(sessions, Attendance::NoShow))
}

fn on<'a>(plan: &'a Plan, days: &[NaiveDate]) -> Vec<&'a Session> {
    plan.sessions.iter().filter(|session| days.contains(&session.date)).collect()
}

pub(super) fn overview(plan: &Plan) -> Value {
    let (today, recent) = (today(plan), window(plan, 30));
    let open: Vec<usize> =
        (0..plan.patients.len()).filter(|patient| !plan.patients[*patient].archived).collect();
    let active = open.iter().filter(|patient| {
        let mut sessions = on(plan, &recent).into_iter();
        sessions.any(|session| session.patient == **patient && session.attendance == Attendance::Completed)
    });
    let completed = |is_in: &dyn Fn(NaiveDate) -> bool| {
        let sessions: Vec<&Session> = plan.sessions.iter().filter(|session| is_in(session.date)).collect();
        count(&sessions, Attendance::Completed)
    };
    let upcoming = plan.sessions.iter().filter(|session| {
        session.attendance == Attendance::Scheduled && session.start.is_some_and(|start| start > plan.now)
    });
    json!({
        "totalPatients": open.len(),
        "activePatients": active.count(),
        "sessionsThisWeek": completed(&|day| day.iso_week() == today.iso_week()),
        "sessionsThisMonth": completed(&|day| (day.year(), day.month()) == (today.year(), today.month())),
        "upcomingSessions": upcoming.count(),
        "completionRate": completion(&on(plan, &recent)),
    })
}

pub(super) fn trends(plan: &Plan, period: &str, granularity: &str) -> Value {
    let days = window(
        plan,
        match period {
            "D7" => 7,
            "D30" => 30,
            "D90" => 90,
            _ => 365,
        },
    );
    let first_of = |day: NaiveDate| match granularity {
        "DAY" => day,
        "WEEK" => monday(day),
        _ => day.with_day(1).unwrap(),
    };
    let firsts: BTreeSet<NaiveDate> = days.iter().copied().map(first_of).collect();
    let points = firsts.into_iter().map(|first| {
        let its: Vec<NaiveDate> = days.iter().copied().filter(|day| first_of(*day) == first).collect();
        let sessions = on(plan, &its);
        let timed: Vec<i64> = sessions
            .iter()
            .filter(|session| session.attendance == Attendance::Completed)
            .filter_map(|session| session.minutes.map(i64::from))
            .collect();
        json!({
            "date": first,
            "sessionsCompleted": count(&sessions, Attendance::Completed),
            "sessionsCancelled": count(&sessions, Attendance::Cancelled),
            "sessionsNoShow": count(&sessions, Attendance::NoShow),
            "avgSessionDurationMin": share(timed.iter().sum(), i64::try_from(timed.len()).unwrap()),
            "completionRate": completion(&sessions),
        })
    });
    let all = on(plan, &days);
    let of_day = |day: &NaiveDate| count(&on(plan, &[*day]), Attendance::Completed);
    let most = days.iter().map(of_day).max().unwrap_or(0);
    let total = count(&all, Attendance::Completed);
    json!({
        "period": period, "granularity": granularity, "from": days[0], "to": days[days.len() - 1],
        "dataPoints": points.collect::<Vec<_>>(),
        "summary": {
            "totalSessions": total,
            "avgPerDay": share(total, i64::try_from(days.len()).unwrap()),
            "peakDay": if most == 0 { None } else { days.iter().find(|day| of_day(day) == most) },
            "completionRate": completion(&all),
        },
    })
}

/// A topic by what it is compared by, and as it is shown.
fn known(topic: &str) -> Option<(String, String)> {
    let found = TOPICS.iter().find(|(written, _, _)| *written == topic);
    let (key, label) = found.map_or((topic.to_lowercase(), topic.to_lowercase()), |(_, key, label)| {
        ((*key).to_owned(), (*label).to_owned())
    });
    (!key.is_empty()).then_some((key, label))
}

/// The topics of sessions, each with the sessions that mention it, the most frequent first.
fn counted<'a>(sessions: &[&'a Session]) -> Vec<(String, Vec<&'a Session>)> {
    let mut topics: BTreeMap<String, (BTreeSet<String>, Vec<&Session>)> = BTreeMap::new();
    for session in sessions {
        let notes = session.notes.as_ref().filter(|_| session.attendance == Attendance::Completed);
        // Of several spellings in one session the last one is kept.
        let its: BTreeMap<String, String> =
            notes.into_iter().flat_map(|notes| &notes.topics).filter_map(|topic| known(topic)).collect();
        for (key, label) in its {
            let entry = topics.entry(key).or_default();
            entry.0.insert(label);
            entry.1.push(session);
        }
    }
    let first = |(labels, sessions): (BTreeSet<String>, Vec<&'a Session>)| {
        (labels.into_iter().next().unwrap(), sessions)
    };
    let mut counted: Vec<(String, Vec<&Session>)> = topics.into_values().map(first).collect();
    counted.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    counted
}

fn frequencies(sessions: &[&Session], limit: usize) -> Vec<Value> {
    let entry =
        |(topic, sessions): (String, Vec<&Session>)| json!({ "topic": topic, "frequency": sessions.len() });
    counted(sessions).into_iter().take(limit).map(entry).collect()
}

pub(super) fn topics(plan: &Plan, weeks: i32, limit: i32) -> Value {
    let days = window(plan, i64::from(weeks) * 7);
    let later = &days[days.len() / 2..];
    let topics = counted(&on(plan, &days)).into_iter().take(usize::try_from(limit).unwrap()).map(|(topic, sessions)| {
        let patients: BTreeSet<usize> = sessions.iter().map(|session| session.patient).collect();
        let after = u32::try_from(sessions.iter().filter(|session| later.contains(&session.date)).count()).unwrap();
        let before = u32::try_from(sessions.len()).unwrap() - after;
        let trend = match (f64::from(before), f64::from(after)) {
            (0.0, _) => "INCREASING",
            (before, after) if after / before >= 1.2 => "INCREASING",
            (before, after) if after / before <= 0.8 => "DECREASING",
            _ => "STABLE",
        };
        json!({ "topic": topic, "frequency": sessions.len(), "patientsAffected": patients.len(), "trend": trend })
    });
    json!({ "timePeriodWeeks": weeks, "topics": topics.collect::<Vec<_>>() })
}

pub(super) fn progress(plan: &Plan, patient: usize, (weeks, limit): (i32, i32)) -> Value {
    let days = window(plan, i64::from(weeks) * 7);
    let own = |days: &[NaiveDate]| -> Vec<&Session> {
        on(plan, days).into_iter().filter(|session| session.patient == patient).collect()
    };
    let sessions = own(&days);
    let mut completed: Vec<&Session> =
        sessions.iter().copied().filter(|session| session.attendance == Attendance::Completed).collect();
    completed.sort_by_key(|session| (session.date, session.id));
    let recent = completed.iter().rev().take(10).map(|session| {
        let notes = session.notes.as_ref();
        json!({
            "sessionId": session.id, "date": session.date,
            "mood": notes.map(|notes| MOODS[notes.mood].1),
            "keyTopics": notes.map(|notes| notes.topics.clone()).unwrap_or_default(),
            "progressNotes": notes.map(|notes| &notes.summary),
        })
    });
    let scores = scores(&completed);
    let (later, earlier): (Vec<Score>, Vec<Score>) =
        scores.iter().partition(|(day, _)| days[days.len() / 2..].contains(day));
    let change = mean(&later).zip(mean(&earlier)).map(|(later, earlier)| (later - earlier) / earlier * 100.0);
    let points = scores.iter().map(|(date, score)| json!({ "date": date, "moodScore": score }));
    let mondays: BTreeSet<NaiveDate> = days.iter().copied().map(monday).collect();
    json!({
        "patientId": plan.patients[patient].id, "patientName": plan.patients[patient].name,
        "from": days[0], "to": days[days.len() - 1],
        "totalSessions": completed.len(), "attendanceRate": completion(&sessions),
        "recentSessions": recent.collect::<Vec<_>>(),
        "moodTrend": {
            "current": completed.iter().rev().find_map(|session| session.notes.as_ref()).map(|notes| MOODS[notes.mood].1),
            "trajectory": trajectory(&scores), "changePercent": change, "dataPoints": points.collect::<Vec<_>>(),
        },
        "commonTopics": frequencies(&sessions, usize::try_from(limit).unwrap()),
        "dataPoints": mondays.into_iter().map(|monday| week(monday, &own(&week_of(monday)))).collect::<Vec<_>>(),
    })
}

fn week_of(monday: NaiveDate) -> Vec<NaiveDate> {
    (0..7).map(|day| monday + TimeDelta::days(day)).collect()
}

fn week(monday: NaiveDate, sessions: &[&Session]) -> Value {
    let completed: Vec<&Session> =
        sessions.iter().copied().filter(|session| session.attendance == Attendance::Completed).collect();
    let scores = scores(&completed);
    json!({
        "weekStart": monday, "sessionsCount": completed.len(), "avgMoodScore": mean(&scores),
        "moodTrajectory": trajectory(&scores), "attendanceRate": completion(sessions),
        "commonTopics": frequencies(sessions, 20),
    })
}

type Score = (NaiveDate, i32);

fn scores(completed: &[&Session]) -> Vec<Score> {
    let mut sessions = completed.to_vec();
    sessions.sort_by_key(|session| (session.date, session.id));
    let score =
        |session: &Session| Some((session.date, i32::try_from(session.notes.as_ref()?.mood).unwrap() + 1));
    sessions.into_iter().filter_map(score).collect()
}

fn mean(scores: &[Score]) -> Option<f64> {
    let sum: f64 = scores.iter().map(|(_, score)| f64::from(*score)).sum();
    (!scores.is_empty()).then(|| sum / f64::from(u32::try_from(scores.len()).unwrap()))
}

/// The line of least squares in fractions, so that what lies on a threshold lies on it.
fn trajectory(scores: &[Score]) -> Option<&'static str> {
    if scores.len() < 2 {
        return None;
    }
    let first = scores.iter().map(|(day, _)| *day).min().unwrap();
    let points: Vec<(i128, i128)> = scores
        .iter()
        .map(|(day, score)| (i128::from((*day - first).num_days()), i128::from(*score)))
        .collect();
    let n = i128::try_from(points.len()).unwrap();
    let (sum_x, sum_y): (i128, i128) = (points.iter().map(|p| p.0).sum(), points.iter().map(|p| p.1).sum());
    // Deviations from the means, times n.
    let deviations: Vec<(i128, i128)> = points.iter().map(|(x, y)| (n * x - sum_x, n * y - sum_y)).collect();
    let xx: i128 = deviations.iter().map(|d| d.0 * d.0).sum();
    let xy: i128 = deviations.iter().map(|d| d.0 * d.1).sum();
    // slope = xy / xx; a residual is (dy − slope · dx) / n.
    let squares: i128 = if xx == 0 {
        deviations.iter().map(|d| d.1 * d.1).sum()
    } else {
        deviations.iter().map(|d| (d.1 * xx - xy * d.0).pow(2)).sum()
    };
    let unit = n * if xx == 0 { 1 } else { xx };
    // Mean square over 1: squares / unit² / n > 1.
    if squares > unit * unit * n {
        return Some("FLUCTUATING");
    }
    let span = points.iter().map(|p| p.0).max().unwrap();
    Some(match (xx, 2 * xy * span) {
        (0, _) => "STABLE",
        (xx, rise) if rise >= xx => "IMPROVING",
        (xx, rise) if rise <= -xx => "DECLINING",
        _ => "STABLE",
    })
}

/// Whether two answers say the same; numbers may differ in the last digits of a fraction.
pub(super) fn same(said: &Value, expected: &Value) -> bool {
    match (said, expected) {
        (Value::Number(said), Value::Number(expected)) => {
            (said.as_f64().unwrap() - expected.as_f64().unwrap()).abs() < 1e-9
        }
        (Value::Array(said), Value::Array(expected)) => {
            said.len() == expected.len()
                && said.iter().zip(expected).all(|(said, expected)| same(said, expected))
        }
        (Value::Object(said), Value::Object(expected)) => {
            said.len() == expected.len()
                && said
                    .iter()
                    .all(|(name, said)| expected.get(name).is_some_and(|expected| same(said, expected)))
        }
        _ => said == expected,
    }
}
