//! What happens in a practice, week by week: who comes when, how they fare, and what they talk about.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::dice::Dice;
use super::notes::{Told, told};
use super::words::{FIRST_NAMES, LAST_NAMES, THEMES};
use super::{HOURS_A_WEEK, Patient, Plan, Session, Wanted};
use crate::ai::{Mood, MoodTrajectory};
use crate::analytics::window::{monday, today};
use crate::clock::moment;
use crate::entity::session::Attendance;

/// Weeks, the present one included, for which there are appointments.
const WEEKS_AHEAD: i32 = 4;
/// When a session begins, in local hours; one is left out for lunch.
const HOURS: [u32; 8] = [8, 9, 10, 11, 13, 14, 15, 16];
/// Weeks in which one subject comes up more and another one less: half of the window that topics are looked at by default.
const FASHION: i32 = 6;

/// How somebody fares in the long run.
#[derive(Clone, Copy, Debug)]
enum Course {
    Better,
    Worse,
    Even,
    UpAndDown,
}

const COURSES: [Course; 6] =
    [Course::Better, Course::Better, Course::Better, Course::Worse, Course::Even, Course::UpAndDown];
/// Of patients who come all the time.
const REGULAR_COURSES: [Course; 4] = [Course::UpAndDown, Course::Better, Course::Worse, Course::Even];

/// Everything that holds for the whole practice.
struct Frame {
    wanted: Wanted,
    /// Monday of week 0.
    first: NaiveDate,
    /// Number of the present week.
    present: i32,
    /// Weeks without sessions.
    holidays: Vec<i32>,
    rising: usize,
    fading: usize,
}

/// Somebody's time with the therapist.
struct Treatment {
    patient: usize,
    /// First week, and the one after the last.
    weeks: (i32, i32),
    /// Day of the week, Monday is 0, and local hour.
    slot: (i32, u32),
    /// Minutes after the hour.
    past: i32,
    every: i32,
    course: Course,
    /// Percent of the appointments that are kept.
    reliability: i32,
    /// What it is about: throughout, at first, later, at the end.
    themes: Vec<usize>,
}

impl Wanted {
    /// Makes the practice up.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let mut dice = Dice::new(self.seed);
        let frame = Frame::new(*self, &mut dice);
        let mut plan = Plan { patients: Vec::new(), sessions: Vec::new() };
        for (place, slot) in dice.sample(self.hours, HOURS_A_WEEK).into_iter().enumerate() {
            frame.fill(&mut dice, &mut plan, place < self.regulars, slot);
        }
        plan.sessions.sort_by_key(|session| session.start);
        plan
    }
}

impl Frame {
    fn new(wanted: Wanted, dice: &mut Dice) -> Self {
        let today = today(wanted.now, wanted.zone);
        let present = i32::try_from(wanted.weeks).unwrap_or(i32::MAX / 7);
        let themes = dice.sample(2, THEMES.len());
        let mut holidays = Vec::new();
        // Long enough ago that the last months are full, whenever it is looked at.
        for year in 0..=present / 52 {
            let summer = present - 52 * year - dice.between(18, 24);
            let winter = present - 52 * year - dice.between(36, 44);
            holidays.extend([summer, summer + 1, winter]);
        }
        Self {
            wanted,
            first: monday(today) - TimeDelta::weeks(i64::from(present)),
            present,
            holidays,
            rising: themes[0],
            fading: themes[1],
        }
    }

    fn end(&self) -> i32 {
        self.present + WEEKS_AHEAD
    }

    /// Whoever comes in this hour of the week, one after the other.
    fn fill(&self, dice: &mut Dice, plan: &mut Plan, regular: bool, slot: usize) {
        let mut from = if regular { 0 } else { dice.between(0, 2) };
        while from < self.end() {
            let to = if regular { self.end() } else { from + dice.between(8, 40) };
            let treatment = self.begin(dice, plan, (from, to), slot);
            self.treat(dice, plan, &treatment);
            from = to + dice.between(1, 3);
        }
    }

    fn begin(&self, dice: &mut Dice, plan: &mut Plan, weeks: (i32, i32), slot: usize) -> Treatment {
        let patient = plan.patients.len();
        let regular = patient < self.wanted.regulars;
        let [day, hour] = [slot / HOURS.len(), slot % HOURS.len()];
        let slot = (i32::try_from(day).unwrap_or(0), HOURS[hour]);
        let course =
            if regular { REGULAR_COURSES[patient % REGULAR_COURSES.len()] } else { *dice.pick(&COURSES) };
        let before = TimeDelta::days(i64::from(dice.between(4, 20)));
        let name = format!("{} {}", dice.pick(&FIRST_NAMES), dice.pick(&LAST_NAMES));
        let since = (self.at(self.date(weeks.0, slot.0), 9) - before).min(self.wanted.now);
        let left = self.at(self.date(weeks.1, slot.0), 12) + TimeDelta::weeks(2);
        let archived_at = (left <= self.wanted.now && dice.percent(70)).then_some(left);
        plan.patients.push(Patient { id: None, name, since, archived_at });
        Treatment {
            patient,
            weeks,
            slot,
            past: *dice.pick(&[0, 0, 0, 10]),
            every: if !regular && dice.percent(15) { 2 } else { 1 },
            course,
            reliability: dice.between(78, 97),
            themes: dice.sample(4, THEMES.len()),
        }
    }

    fn treat(&self, dice: &mut Dice, plan: &mut Plan, treatment: &Treatment) {
        let (from, to) = treatment.weeks;
        let mut number = 0;
        for week in from..to.min(self.end()) {
            if self.holidays.contains(&week) || (week - from) % treatment.every != 0 {
                continue;
            }
            number += 1;
            plan.sessions.push(self.session(dice, treatment, (week, number)));
        }
    }

    fn session(&self, dice: &mut Dice, treatment: &Treatment, (week, number): (i32, i32)) -> Session {
        let (day, hour) = treatment.slot;
        let date = self.date(week, day);
        let start = self.at(date, hour) + TimeDelta::minutes(i64::from(treatment.past));
        let minutes = if number == 1 { 80 } else { *dice.pick(&[50, 50, 50, 50, 45, 55]) };
        let end = start + TimeDelta::minutes(i64::from(minutes));
        let planned_at = (start - TimeDelta::days(7)).min(self.wanted.now - TimeDelta::hours(1));
        let attendance = self.attendance(dice, treatment.reliability, end);
        let settled_at = match attendance {
            Attendance::Scheduled => planned_at,
            Attendance::Cancelled => {
                (start - TimeDelta::hours(i64::from(dice.between(3, 90)))).max(planned_at)
            }
            Attendance::Completed | Attendance::NoShow => end,
        };
        let told_of = Told {
            number,
            mood: mood(dice, treatment, week),
            trajectory: *dice.pick(&[
                MoodTrajectory::Stable,
                MoodTrajectory::Stable,
                MoodTrajectory::Improving,
                MoodTrajectory::Improving,
                MoodTrajectory::Declining,
                MoodTrajectory::Fluctuating,
            ]),
            themes: self.themes(dice, treatment, week),
        };
        // Chance takes its course, whatever became of it: what comes later does not depend on the time of day.
        let notes = told(dice, &told_of);
        Session {
            patient: treatment.patient,
            attendance,
            start,
            date,
            minutes,
            planned_at,
            settled_at: settled_at.min(self.wanted.now),
            notes: (attendance == Attendance::Completed).then_some(notes),
        }
    }

    fn attendance(&self, dice: &mut Dice, reliability: i32, end: DateTime<Utc>) -> Attendance {
        let (kept, excused, called_off) = (dice.percent(reliability), dice.percent(60), dice.percent(4));
        match (end <= self.wanted.now, kept) {
            (true, true) => Attendance::Completed,
            (true, false) if excused => Attendance::Cancelled,
            (true, false) => Attendance::NoShow,
            (false, _) if called_off && end > self.wanted.now + TimeDelta::days(1) => Attendance::Cancelled,
            (false, _) => Attendance::Scheduled,
        }
    }

    fn themes(&self, dice: &mut Dice, treatment: &Treatment, week: i32) -> Vec<usize> {
        let (from, to) = treatment.weeks;
        let passed = (week - from) * 100 / (to - from).max(1);
        let [always, first, then, last] = [0, 1, 2, 3].map(|place| treatment.themes[place]);
        let mut themes = Vec::new();
        let mut come_up = |theme: usize, chance: i32| {
            if dice.percent(chance) && !themes.contains(&theme) {
                themes.push(theme);
            }
        };
        come_up(always, 90);
        come_up(first, if passed < 55 { 70 } else { 10 });
        come_up(then, if passed > 40 { 65 } else { 10 });
        come_up(last, if passed > 70 { 60 } else { 5 });
        let recent = week > self.present - FASHION && week <= self.present;
        let earlier = week > self.present - 2 * FASHION && !recent;
        come_up(self.rising, if recent { 35 } else { 8 });
        come_up(self.fading, if earlier { 35 } else { 5 });
        if themes.is_empty() {
            themes.push(always);
        }
        themes
    }

    fn date(&self, week: i32, day: i32) -> NaiveDate {
        self.first + TimeDelta::days(i64::from(week * 7 + day))
    }

    fn at(&self, date: NaiveDate, hour: u32) -> DateTime<Utc> {
        moment(date, hour, self.wanted.zone)
    }
}

/// How the patient is in that week, by the course of things and by chance; in hundredths of a step.
fn mood(dice: &mut Dice, treatment: &Treatment, week: i32) -> Mood {
    let (from, to) = treatment.weeks;
    let passed = (week - from) * 100 / (to - from).max(1);
    let (usual, swing) = match treatment.course {
        Course::Better => (170 + passed * 26 / 10, 60),
        Course::Worse => (410 - passed * 22 / 10, 60),
        Course::Even => (330, 60),
        Course::UpAndDown if week % 5 < 2 => (160, 70),
        Course::UpAndDown => (420, 70),
    };
    match usual + dice.between(-swing, swing) {
        ..150 => Mood::VeryLow,
        150..250 => Mood::Low,
        250..350 => Mood::Neutral,
        350..450 => Mood::Positive,
        450.. => Mood::VeryPositive,
    }
}
