//! Recovery codes: ten one-time codes, for the day the authenticator app is lost.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
};
use uuid::Uuid;

use super::typed_code;
use crate::entity::recovery_code::{ActiveModel, Column, Entity};

/// Codes a user has.
const CODES: usize = 10;

/// Makes new codes; earlier ones are good no longer. Only their hashes are kept.
pub(super) async fn replace(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<String>, DbErr> {
    remove(txn, user_id).await?;
    let codes: Vec<String> = std::iter::repeat_with(typed_code::generate).take(CODES).collect();
    let rows = codes.iter().map(|code| ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user_id),
        code: Set(typed_code::hash(code)),
        used_at: Set(None),
        created_at: Set(now),
    });
    Entity::insert_many(rows).exec_without_returning(txn).await?;
    Ok(codes)
}

/// Removes the codes of a user.
pub(super) async fn remove(txn: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(txn).await?;
    Ok(())
}

/// Uses a code up: one atomic statement, so that of two at once exactly one gets true.
pub(super) async fn spend(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    typed: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let spent = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Code.eq(typed_code::hash(typed)))
        .filter(Column::UsedAt.is_null())
        .exec(txn)
        .await?;
    Ok(spent.rows_affected == 1)
}

/// How many codes are left.
pub(super) async fn left(db: &impl ConnectionTrait, user_id: Uuid) -> Result<u64, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::UsedAt.is_null()).count(db).await
}
