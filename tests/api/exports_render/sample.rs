//! Documents as a practice would export them. Nobody in them is real.

use chrono::{NaiveDate, TimeDelta};
use therapybridge::exports::chart::{Chart, Hue, LinePlot, Series, StackedPlot};
use therapybridge::exports::document::{Document, Heading, Item, Review, Table, Text, Tone, day};

const SUMMARY: [&str; 4] = [
    "She reports that sleep has improved since the breathing exercises were introduced, though early waking goes on \
     before work days. The diary shows six hours and a half on average, after five hours in September.",
    "The conflict with the supervisor came up again. The pattern of withdrawal that was discussed in the first \
     sessions was recognised in good time, and a different answer was tried: to ask for a talk within the week.",
    "Exercises in the evening were kept up on five days of seven. At weekends, when the routine is missing, worries \
     come back; a walk before noon is to take its place.",
    "The visit to the family went better than feared. Sentences prepared beforehand were of use, above all the one \
     that ends a conversation without blaming anybody.",
];
const ACTIONS: [&str; 3] = [
    "Keep the sleep diary every day",
    "Practise the breathing exercise before bed, and write down how it went on at least three evenings",
    "Call the sister before the weekend",
];

/// A day of the year these documents are about.
pub(crate) fn date(month: u32, number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, month, number).unwrap()
}

/// The notes of so many sessions of one patient: about a page each.
pub(crate) fn notes(sessions: u32) -> Document {
    let mut document = head("Session notes", &format!("{sessions} sessions"));
    for number in 0..sessions {
        session(&mut document, number);
    }
    document
}

fn head(title: &str, subtitle: &str) -> Document {
    let mut document = Document::new(title, date(11, 28));
    document.subtitle = subtitle.into();
    document.practice = "Practice Dr. Jana Weber".into();
    document.subject = "Zoë Müller".into();
    document.facts([("Patient", Text::new().bold("Zoë Müller")), ("Therapist", "Dr. Jana Weber".into())]);
    document
}

fn session(document: &mut Document, number: u32) {
    let at = date(1, 5) + TimeDelta::weeks(number.into());
    let pick = |texts: &[&'static str], offset: u32| texts[((number + offset) as usize) % texts.len()];
    document.heading(Heading::Section, format!("Session {} · {}", number + 1, day(at)));
    document.facts([
        ("Duration", "50 minutes"),
        ("Mood", "Rather low (2 of 5)"),
        ("Topics", "sleep, work, family"),
    ]);
    document.heading(Heading::Part, "Summary");
    document.paragraph(pick(&SUMMARY, 0)).paragraph(pick(&SUMMARY, 1));
    document.heading(Heading::Part, "Action items");
    document.bullets(ACTIONS.iter().map(|action| {
        Item::new(*action)
            .detail(Text::new().italic(format!("“I will, {}”", action.to_lowercase())).plain(" 12:31"))
    }));
    document.heading(Heading::Part, "Strategies");
    document.numbers([pick(&SUMMARY, 2), pick(&SUMMARY, 3)]);
    document.notice(
        Tone::Warning,
        "Risk screen",
        "The words of the transcript were screened; no sign of risk was found.",
    );
}

/// A progress report with all three charts and a table over several pages.
pub(crate) fn report() -> Document {
    let mut document = head("Progress report", "12 weeks, 7 September to 28 November 2026");
    let content_hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into();
    document.review = Review::Signed { by: "Dr. Jana Weber".into(), on: date(11, 27), content_hash };
    document.heading(Heading::Section, "Mood");
    document.push(mood());
    document.heading(Heading::Section, "Attendance");
    document.push(attendance());
    document.heading(Heading::Section, "Topics");
    let topics = [("sleep", 9), ("conflict at work", 6), ("family", 5), ("self-worth", 3), ("panic", 1)];
    let topics = topics.map(|(name, count)| (name.to_owned(), count));
    document.push(Chart::bars("Most frequent topics", "Sleep came up most often, in 9 sessions.", topics));
    document.heading(Heading::Section, "Sessions");
    let mut table =
        Table::new().left("Date", 1.2).left("Summary", 4.0).right("Minutes", 0.8).center("Mood", 1.0);
    for (row, summary) in (0..40).zip(SUMMARY.iter().copied().cycle()) {
        table.add([
            day(date(9, 1) + TimeDelta::days(row)),
            summary.into(),
            (40 + row).to_string(),
            "low".into(),
        ]);
    }
    document.push(table);
    document
}

fn mood() -> Chart {
    let names = ["Very low", "Low", "Neutral", "Positive", "Very positive"];
    let values =
        [Some(2.0), Some(1.0), Some(2.0), None, Some(3.0), Some(2.0), Some(3.0), Some(4.0), Some(4.0)];
    let plot = LinePlot {
        range: (1.0, 5.0),
        ticks: (1..).map(f64::from).zip(names.map(Into::into)).collect(),
        points: (0..).map(|week| date(9, 7) + TimeDelta::weeks(week)).zip(values).collect(),
        trend: true,
        name: "Mood of each session".into(),
    };
    Chart::line("Mood over time", "The mood rose from low to positive.", plot)
}

fn attendance() -> Chart {
    let series = |name: &str, values: &[u32], hue| Series { name: name.into(), values: values.into(), hue };
    let plot = StackedPlot {
        labels: (0..12)
            .map(|week| (date(9, 7) + TimeDelta::weeks(week)).format("%-d %b").to_string())
            .collect(),
        series: vec![
            series("Completed", &[1, 1, 2, 1, 1, 0, 1, 1, 1, 2, 0, 1], Hue::Main),
            series("Cancelled", &[0, 0, 0, 1, 0, 1], Hue::Second),
            series("No show", &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1], Hue::Third),
        ],
    };
    Chart::stacked("Sessions per week", "14 sessions took place, 2 were cancelled, 2 were missed.", plot)
}
