//! Where a mood goes over several sessions.
//!
//! Scores are 1 to 5 and days are whole, so that a line through them is reckoned in whole numbers: what lies on a threshold lies
//! on it, on every machine.

use chrono::{Datelike, NaiveDate};

use super::window::Days;
use crate::ai::MoodTrajectory;

/// A session's mood: its day, and its score from 1 to 5.
pub type Score = (NaiveDate, i32);

/// The course of the scores, in any order; `None` with fewer than two.
///
/// A line is fitted by least squares. Where the residuals have a population standard deviation of more than 1.0, the mood
/// fluctuates; else it improves or declines where the line rises or falls by half a step or more from the first to the last day.
#[must_use]
pub fn trajectory(scores: &[Score]) -> Option<MoodTrajectory> {
    let first = scores.iter().map(|(day, _)| *day).min()?;
    if scores.len() < 2 {
        return None;
    }
    let (mut n, mut x1, mut y1, mut xx, mut xy, mut yy, mut span) = (0_i128, 0_i128, 0, 0, 0, 0, 0);
    for (day, score) in scores {
        let x = i128::from(day.num_days_from_ce() - first.num_days_from_ce());
        let y = i128::from(*score);
        (n, x1, y1, xx, xy, yy) = (n + 1, x1 + x, y1 + y, xx + x * x, xy + x * y, yy + y * y);
        span = span.max(x);
    }
    // n² times variance of x, covariance, variance of y.
    let (var_x, cov, var_y) = (n * xx - x1 * x1, n * xy - x1 * y1, n * yy - y1 * y1);
    // All on one day: no direction, and the mean is the line.
    let (fluctuates, rise) = if var_x == 0 {
        (var_y > n * n, 0)
    } else {
        (var_x * var_y - cov * cov > n * n * var_x, 2 * cov * span)
    };
    Some(if fluctuates {
        MoodTrajectory::Fluctuating
    } else if var_x > 0 && rise >= var_x {
        MoodTrajectory::Improving
    } else if var_x > 0 && rise <= -var_x {
        MoodTrajectory::Declining
    } else {
        MoodTrajectory::Stable
    })
}

/// By how many percent the mean of the later half of these days is above that of the earlier half; `None` where one of
/// them has no score.
#[must_use]
pub fn change_percent(scores: &[Score], days: Days) -> Option<f64> {
    let (later, earlier): (Vec<Score>, Vec<Score>) =
        scores.iter().partition(|(day, _)| *day >= days.middle());
    let (later, earlier) = (mean(&later)?, mean(&earlier)?);
    Some((later - earlier) / earlier * 100.0)
}

/// The mean score; `None` without any.
#[must_use]
pub fn mean(scores: &[Score]) -> Option<f64> {
    let sum: i32 = scores.iter().map(|(_, score)| score).sum();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 sessions")]
    (!scores.is_empty()).then(|| f64::from(sum) / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn scores(scores: &[(i64, i32)]) -> Vec<Score> {
        let first = NaiveDate::from_ymd_opt(2026, 3, 2).expect("a day");
        scores.iter().map(|(day, score)| (first + TimeDelta::days(*day), *score)).collect()
    }

    fn of(line: &[(i64, i32)]) -> Option<MoodTrajectory> {
        trajectory(&scores(line))
    }

    #[test]
    fn one_score_goes_nowhere() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(0, 3)]), None);
    }

    #[test]
    fn a_line_that_rises_improves_and_one_that_falls_declines() {
        assert_eq!(of(&[(0, 2), (7, 3), (14, 4)]), Some(MoodTrajectory::Improving));
        assert_eq!(of(&[(0, 4), (7, 3), (14, 2)]), Some(MoodTrajectory::Declining));
        assert_eq!(of(&[(0, 3), (7, 3), (14, 3)]), Some(MoodTrajectory::Stable));
    }

    #[test]
    fn half_a_step_is_enough_and_less_is_not() {
        // Means of two days: 3 and 3.5; 3 and 3.25.
        assert_eq!(of(&[(0, 3), (0, 3), (9, 3), (9, 4)]), Some(MoodTrajectory::Improving));
        assert_eq!(of(&[(0, 3), (0, 4), (9, 3), (9, 3)]), Some(MoodTrajectory::Declining));
        let quarter = [(0, 3), (0, 3), (0, 3), (0, 3), (9, 3), (9, 3), (9, 3), (9, 4)];
        assert_eq!(of(&quarter), Some(MoodTrajectory::Stable));
    }

    #[test]
    fn a_deviation_of_one_is_not_over_one() {
        assert_eq!(of(&[(0, 2), (0, 4)]), Some(MoodTrajectory::Stable));
        assert_eq!(of(&[(0, 1), (0, 4)]), Some(MoodTrajectory::Fluctuating));
        assert_eq!(of(&[(0, 1), (1, 5), (2, 1), (3, 5)]), Some(MoodTrajectory::Fluctuating));
    }

    #[test]
    fn the_change_is_of_the_later_half_against_the_earlier() {
        let days = Days { first: "2026-03-02".parse().unwrap(), last: "2026-03-15".parse().unwrap() };
        assert_eq!(change_percent(&scores(&[(0, 2), (6, 2), (7, 3)]), days), Some(50.0));
        assert_eq!(change_percent(&scores(&[(0, 2), (6, 2)]), days), None);
    }

    proptest! {
        #[test]
        fn whole_numbers_agree_with_a_line_fitted_in_floating_point(
            line in prop::collection::vec((0_i64..120, 1_i32..=5), 2..40),
        ) {
            let n = f64::from(u32::try_from(line.len()).unwrap());
            let points: Vec<(f64, f64)> =
                line.iter().map(|(x, y)| (f64::from(i32::try_from(*x).unwrap()), f64::from(*y))).collect();
            let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
            let sxx: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
            let sxy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
            let slope = if sxx == 0.0 { 0.0 } else { sxy / sxx };
            let deviation =
                (points.iter().map(|p| (p.1 - my - slope * (p.0 - mx)).powi(2)).sum::<f64>() / n).sqrt();
            let days = points.iter().map(|p| p.0);
            let rise = slope * (days.clone().fold(f64::MIN, f64::max) - days.fold(f64::MAX, f64::min));
            // What lies on a threshold is decided by whole numbers alone.
            prop_assume!((deviation - 1.0).abs() > 1e-9 && (rise.abs() - 0.5).abs() > 1e-9);
            let expected = if deviation > 1.0 {
                MoodTrajectory::Fluctuating
            } else if rise >= 0.5 {
                MoodTrajectory::Improving
            } else if rise <= -0.5 {
                MoodTrajectory::Declining
            } else {
                MoodTrajectory::Stable
            };
            prop_assert_eq!(of(&line), Some(expected));
        }
    }
}
