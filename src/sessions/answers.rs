//! Answers of language models on the way to notes, in the transactions of the pipeline.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::entity::extraction_part::{Column, Entity};

/// An answer to this request no longer counts; what it cost does.
pub(super) async fn void(txn: &DatabaseTransaction, session_id: Uuid, request: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Answer, Expr::value(Option::<serde_json::Value>::None))
        .filter(Column::SessionId.eq(session_id))
        .filter(Column::RequestSha256.eq(request))
        .exec(txn)
        .await?;
    Ok(())
}

/// The run that was made of them has what they say, and their cost.
pub(super) async fn delete(txn: &DatabaseTransaction, session_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::SessionId.eq(session_id)).exec(txn).await?;
    Ok(())
}
