//! Who has an account; and what admins do with accounts.

use sea_orm::sea_query::Expr;
use sea_orm::sea_query::extension::postgres::PgExpr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, sea_query::LockType,
};
use uuid::Uuid;

use super::log_ins::about;
use super::refresh_token::{self, Which};
use super::{Auth, api_key};
use crate::actor::{Actor, Origin};
use crate::audit;
use crate::database;
use crate::entity::user::{self, Column, Entity, Model, Role, visible_to};
use crate::error::{Code, Error, Result, UserError};
use crate::page::{Page, PageArgs};
use crate::text;

impl Auth {
    /// The asker's own account.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub async fn viewer(&self, actor: &Actor) -> Result<user::Model> {
        user::Entity::find_by_id(actor.user_id()?).one(&self.db).await?.ok_or(Error::Unauthenticated)
    }

    /// The account of whoever asks, or whose API key does: to say who that is, and for nothing else.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub async fn account(&self, actor: &Actor) -> Result<user::Model> {
        user::Entity::find_by_id(actor.account_id()?).one(&self.db).await?.ok_or(Error::Unauthenticated)
    }

    /// One user, if the actor may know of them.
    ///
    /// # Errors
    /// Only faults.
    pub async fn user(&self, actor: &Actor, id: Uuid) -> Result<Option<Model>> {
        Ok(visible_to(actor).filter(Column::Id.eq(id)).one(&self.db).await?)
    }

    /// Those of the users that the actor may know of.
    ///
    /// # Errors
    /// Only faults.
    pub async fn users_by_id(&self, actor: &Actor, ids: &[Uuid]) -> Result<Vec<Model>> {
        Ok(visible_to(actor).filter(Column::Id.is_in(ids.iter().copied())).all(&self.db).await?)
    }

    /// These users, whoever they are: of those who did something to a record that the asker may read about. What is
    /// shown of them is decided by [`Actor::knows_doer_by_name`].
    ///
    /// # Errors
    /// Only faults.
    pub async fn doers(&self, ids: &[Uuid]) -> Result<Vec<Model>> {
        Ok(Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(&self.db).await?)
    }

    /// A page of the users, newest first; `search` looks in name and e-mail, and finds no patients.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for everybody but admins.
    pub async fn users(&self, actor: &Actor, search: Option<&str>, page: PageArgs) -> Result<Page<Model>> {
        actor.admin_id()?;
        Ok(page.fetch(searched(actor, search), Column::Id, &self.db).await?)
    }

    /// How many users [`users`](Self::users) has on all its pages.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for everybody but admins.
    pub async fn count_users(&self, actor: &Actor, search: Option<&str>) -> Result<u64> {
        actor.admin_id()?;
        Ok(searched(actor, search).count(&self.db).await?)
    }

    /// Shuts a user out: every log-in and every API key ends, and none begins. Doing it twice is fine.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for everybody but admins; `NOT_FOUND`; `INVALID_STATE` for the admin's own account.
    pub async fn deactivate(&self, actor: &Actor, origin: &Origin, id: Option<Uuid>) -> Result<Model> {
        if Some(actor.admin_id()?) == id {
            let message = "You cannot deactivate yourself. Another admin can.";
            return Err(UserError::new(Code::InvalidState, message).on("userId").into());
        }
        self.set_active((actor, origin), id, false).await
    }

    /// Lets a deactivated user log in again; ended log-ins and keys stay ended. Doing it twice is fine.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for everybody but admins; `NOT_FOUND`.
    pub async fn reactivate(&self, actor: &Actor, origin: &Origin, id: Option<Uuid>) -> Result<Model> {
        self.set_active((actor, origin), id, true).await
    }

    async fn set_active(
        &self,
        (actor, origin): (&Actor, &Origin),
        id: Option<Uuid>,
        active: bool,
    ) -> Result<Model> {
        let admin_id = actor.admin_id()?;
        let not_found = || UserError::not_found("user").on("userId");
        let id = id.ok_or_else(not_found)?;
        let txn = database::begin(&self.db).await?;
        let user = hold_with_admin(&txn, actor, (admin_id, id)).await?.ok_or_else(not_found)?;
        if user.is_active == active {
            return Ok(user);
        }
        let now = self.clock.now();
        let changed = Entity::update_many()
            .col_expr(Column::IsActive, Expr::value(active))
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .filter(Column::Id.eq(id))
            .exec_with_returning(&txn)
            .await?;
        if !active {
            refresh_token::end(&txn, id, Which::All, now).await?;
            api_key::revoke_all_of(&txn, id, now).await?;
        }
        let action = if active { "user.reactivate" } else { "user.deactivate" };
        let event = audit::Event { changed_fields: vec!["isActive"], ..about(id, action) };
        self.witness_by(&txn, (actor, origin), event).await?;
        txn.commit().await?;
        self.presence.nudge();
        Ok(changed.into_iter().next().ok_or_else(not_found)?)
    }
}

/// The user an admin is about to change, held together with the admin, in one order: of two admins who deactivate each
/// other at the same time one is too late, so one is always left.
async fn hold_with_admin(
    txn: &impl ConnectionTrait,
    actor: &Actor,
    (admin_id, id): (Uuid, Uuid),
) -> Result<Option<Model>> {
    let both = visible_to(actor).filter(Column::Id.is_in([admin_id, id])).order_by_asc(Column::Id);
    let held = both.lock(LockType::NoKeyUpdate).all(txn).await?;
    let still_admin = |user: &Model| user.id == admin_id && user.is_active;
    if held.iter().any(still_admin) {
        Ok(held.into_iter().find(|user| user.id == id))
    } else {
        Err(Error::Unauthenticated)
    }
}

fn searched(actor: &Actor, search: Option<&str>) -> Select<Entity> {
    let select = visible_to(actor);
    let Some(words) = search.map(str::trim).filter(|words| !words.is_empty()) else { return select };
    let pattern = text::pattern(words);
    // Patients' names are hidden from admins; whoever can probe for a name knows it in the end.
    select.filter(Column::Role.ne(Role::Patient)).filter(
        [Column::FullName, Column::Email]
            .into_iter()
            .fold(Condition::any(), |any, column| any.add(Expr::col(column).ilike(pattern.clone()))),
    )
}
