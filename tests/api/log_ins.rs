//! Log-ins and accounts, as whoever owns or runs them manages them.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn an_admin_is_made_by_whoever_runs_the_server_and_that_is_audited() {
    let app = TestApp::new().await;
    let viewer = app.admin("root").await.call("{ viewer { role } }", json!({})).await;
    assert_eq!(viewer["viewer"]["role"], "ADMIN");
    let made = "SELECT count(*) FROM audit_events WHERE action = 'user.create' AND actor_role = 'SYSTEM'
        AND subject_id = (SELECT id FROM users)";
    assert_eq!(app.count(made).await, 1);
}
