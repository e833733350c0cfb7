//! Batched reads: however many sessions an answer has, their patients are read in one query.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::batching::Batches;
use super::session_loader::SessionLoader;
use crate::actor::Actor;
use crate::app::App;
use crate::auth::Auth;
use crate::auth::invitation::Invitations;
use crate::auth::second_factor::SecondFactor;
use crate::entity::{auth_session, patient, patient_invitation, summary_release, user};
use crate::error::Error;
use crate::patients::Patients;
use crate::sessions::Sessions;

/// The loaders of one asker.
pub(super) struct Loaders {
    /// Patients by id, of those the asker may know of.
    pub(super) patients: Together<PatientLoader>,
    /// Open invitations by the patient's id, of those the asker may know of.
    pub(super) invitations: Together<InvitationLoader>,
    /// Therapists by id.
    pub(super) therapists: Together<TherapistLoader>,
    /// Who did something, by id, for the audit trail.
    pub(super) doers: Together<DoerLoader>,
    /// Releases in force, by session.
    pub(super) releases: Together<ReleaseLoader>,
    /// What belongs to sessions that the asker has been shown.
    pub(super) sessions: Together<SessionLoader>,
    /// What belongs to the asker's own account.
    pub(super) account: Together<AccountLoader>,
}

impl Loaders {
    /// Whose reads are gone on with by whoever serves these batches.
    pub(super) fn new(app: &Arc<App>, actor: &Actor, batches: &Batches) -> Self {
        let patients = PatientLoader { patients: app.patients.clone(), actor: actor.clone() };
        let invitations = InvitationLoader { invitations: app.invitations.clone(), actor: actor.clone() };
        let therapists = TherapistLoader { auth: app.auth.clone(), actor: actor.clone() };
        let doers = DoerLoader(app.auth.clone());
        let releases = ReleaseLoader(app.sessions.clone());
        let sessions = SessionLoader::new(app.clone(), actor.clone());
        Self {
            patients: loader(patients, batches),
            invitations: loader(invitations, batches),
            therapists: loader(therapists, batches),
            doers: loader(doers, batches),
            releases: loader(releases, batches),
            sessions: loader(sessions, batches),
            account: loader(AccountLoader(app.auth.clone()), batches),
        }
    }
}

fn loader<T>(loader: T, batches: &Batches) -> Together<T> {
    Together(DataLoader::new(loader, batches.clone(), batches.clone()))
}

/// Reads for many at a time.
pub(super) struct Together<T>(DataLoader<T>);

impl<T> Together<T> {
    /// What belongs to a key, read together with what else is asked for meanwhile. Boxed: the future of a field is as
    /// large as that of the largest field of its type, and each field of each row has one.
    pub(super) fn load_one<K>(&self, key: K) -> BoxFuture<'_, Result<Option<T::Value>, T::Error>>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        T: Loader<K>,
    {
        self.0.load_one(key).boxed()
    }
}

pub(super) struct PatientLoader {
    patients: Patients,
    actor: Actor,
}

impl Loader<Uuid> for PatientLoader {
    type Value = patient::Model;
    type Error = Arc<Error>;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, patient::Model>, Arc<Error>> {
        let rows = self.patients.get_many(&self.actor, ids).await.map_err(Arc::new)?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

pub(super) struct InvitationLoader {
    invitations: Invitations,
    actor: Actor,
}

impl Loader<Uuid> for InvitationLoader {
    type Value = patient_invitation::Model;
    type Error = Arc<Error>;

    async fn load(&self, patients: &[Uuid]) -> Result<HashMap<Uuid, patient_invitation::Model>, Arc<Error>> {
        let rows = self.invitations.open_of(&self.actor, patients).await.map_err(Arc::new)?;
        Ok(rows.into_iter().map(|row| (row.patient_id, row)).collect())
    }
}

/// Loads the therapists of sessions that the asker has been shown.
pub(super) struct TherapistLoader {
    auth: Auth,
    actor: Actor,
}

impl Loader<Uuid> for TherapistLoader {
    type Value = user::Model;
    type Error = Arc<Error>;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, user::Model>, Arc<Error>> {
        let rows = self.auth.users_by_id(&self.actor, ids).await.map_err(Arc::new)?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

/// Loads who did what the asker may read about in the audit trail.
pub(super) struct DoerLoader(Auth);

impl Loader<Uuid> for DoerLoader {
    type Value = user::Model;
    type Error = Arc<Error>;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, user::Model>, Arc<Error>> {
        let rows = self.0.doers(ids).await.map_err(Arc::new)?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

/// Loads the releases of sessions that the asker has been shown.
pub(super) struct ReleaseLoader(Sessions);

impl Loader<Uuid> for ReleaseLoader {
    type Value = summary_release::Model;
    type Error = Arc<Error>;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, summary_release::Model>, Arc<Error>> {
        let rows = self.0.releases(ids).await.map_err(Arc::new)?;
        Ok(rows.into_iter().map(|row| (row.session_id, row)).collect())
    }
}

/// Loads what belongs to an account; nobody asks for another one than their own.
pub(super) struct AccountLoader(Auth);

/// The log-ins of a user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct LogInsOf(pub(super) Uuid);

/// The second factor of a user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SecondFactorOf(pub(super) Uuid);

impl Loader<LogInsOf> for AccountLoader {
    type Value = Arc<Vec<auth_session::Model>>;
    type Error = Arc<Error>;

    async fn load(
        &self,
        keys: &[LogInsOf],
    ) -> Result<HashMap<LogInsOf, Arc<Vec<auth_session::Model>>>, Arc<Error>> {
        let mut all = HashMap::new();
        for key in keys {
            all.insert(key.clone(), Arc::new(self.0.auth_sessions(key.0).await.map_err(Arc::new)?));
        }
        Ok(all)
    }
}

impl Loader<SecondFactorOf> for AccountLoader {
    type Value = Option<SecondFactor>;
    type Error = Arc<Error>;

    async fn load(
        &self,
        keys: &[SecondFactorOf],
    ) -> Result<HashMap<SecondFactorOf, Option<SecondFactor>>, Arc<Error>> {
        let mut all = HashMap::new();
        for key in keys {
            all.insert(key.clone(), self.0.second_factor(key.0).await.map_err(Arc::new)?);
        }
        Ok(all)
    }
}
