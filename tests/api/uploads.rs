//! Recordings that arrive in parts: tus 1.0 over real HTTP, and what becomes of it.

mod bounds;
mod finishing;
mod interruptions;
mod protocol;
mod strangers;

use therapybridge::entity::unfinished_upload::Entity;

use super::support::TestApp;

/// Bytes that tell where they stand.
fn numbered(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_be_bytes).take(length).collect()
}

/// What was kept of an upload, by its parts.
async fn kept(app: &TestApp, path: &str) -> Vec<u8> {
    use futures::StreamExt;
    use sea_orm::EntityTrait;
    let id: uuid::Uuid = super::support::tus::id_of(path).parse().unwrap();
    let upload = Entity::find_by_id(id).one(&app.app.db).await.unwrap().unwrap();
    let mut parts = Box::pin(app.app.unfinished.bytes(&upload).await.unwrap());
    let mut bytes = Vec::new();
    while let Some(chunk) = parts.next().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    bytes
}

/// Uploads that are open.
async fn open(app: &TestApp) -> i64 {
    app.count("SELECT count(*) FROM unfinished_uploads WHERE outcome IS NULL").await
}
