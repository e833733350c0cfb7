//! What fields of the API cost beside their place in the answer.

use super::guard::cost::Tariff;

/// See [`super::guard::cost`].
pub(super) const TARIFF: Tariff = Tariff {
    points: &[
        // Statements over a practice.
        ("Query.practiceOverview", 50),
        ("Query.patientProgress", 100),
        ("Query.sessionTrends", 100),
        ("Query.commonTopics", 100),
        ("Query.costSummary", 100),
        ("Query.queueStatus", 100),
        ("User.authSessions", 10),
        // What is looked up for each row, all rows together.
        ("Session.patient", 10),
        ("Session.therapist", 10),
        ("Session.release", 10),
        ("Patient.therapist", 10),
        ("Patient.invitation", 10),
        ("ExportJob.patient", 10),
        ("AuditEvent.actor", 10),
        ("AuditEvent.actorName", 10),
        // Texts, and what is read from JSON.
        ("Session.transcriptText", 1_000),
        ("Session.transcription", 20),
        ("Session.notes", 20),
        ("Session.riskScreen", 10),
        ("Session.cost", 10),
        // All files of a practice, all events of the trail.
        ("Query.cleanupStatus", 20_000),
        ("Mutation.cleanUpAll", 20_000),
        ("Mutation.cleanUpFailedSessions", 20_000),
        ("Mutation.cleanUpOrphanedFiles", 20_000),
        ("Query.verifyAuditChain", 20_000),
    ],
    lengths: &[
        ("SessionTrends.dataPoints", 366),
        ("PatientProgress.dataPoints", 104),
        ("MoodTrend.dataPoints", 100),
        ("User.authSessions", 20),
        ("AuditVerification.findings", 100),
    ],
    paged: &[("CommonTopics.topics", "limit"), ("PatientProgress.recentSessions", "limit")],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql;
    use crate::server::guard::cost::PriceList;

    #[test]
    fn every_price_is_of_a_field_that_there_is() {
        let prices = PriceList::new(&graphql::sdl(), &TARIFF);
        let paths =
            TARIFF.points.iter().map(|(path, _)| path).chain(TARIFF.lengths.iter().map(|(path, _)| path));
        for path in paths.chain(TARIFF.paged.iter().map(|(path, _)| path)) {
            assert!(prices.has(path), "{path}");
        }
    }
}
