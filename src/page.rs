//! Pages of lists: keyset on the id, newest first. An id is a UUID of version 7, so its order is that of creation.

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Rows of a page when nothing is asked.
const DEFAULT: i32 = 25;
/// Rows of a page at most.
const MOST: i32 = 100;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageArgs {
    first: u64,
    after: Option<Uuid>,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, newest first.
    pub rows: Vec<T>,
    /// Whether there are older ones.
    pub has_next: bool,
}

impl PageArgs {
    /// Reads Relay's arguments.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a size that is out of range (never a silent cut) and for a cursor we did not make.
    pub fn new(first: Option<i32>, after: Option<&str>) -> Result<Self> {
        let first = first.unwrap_or(DEFAULT);
        if !(1..=MOST).contains(&first) {
            return Err(Error::BadRequest(format!("`first` is {first}; it must be 1 to {MOST}.")));
        }
        Ok(Self { first: u64::from(first.unsigned_abs()), after: after.map(decode).transpose()? })
    }

    /// How many rows.
    #[must_use]
    pub fn first(self) -> u64 {
        self.first
    }

    /// Fetches the page of `select`, by the column that holds the rows' ids.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fetch<E: EntityTrait>(
        self,
        select: Select<E>,
        id: impl ColumnTrait,
        db: &impl ConnectionTrait,
    ) -> Result<Page<E::Model>, DbErr> {
        Ok(self.cut(self.ordered(select, id).all(db).await?))
    }

    /// The rows of the page of `select`, and one more where there is: see [`cut`](Self::cut).
    pub fn ordered<E: EntityTrait>(self, select: Select<E>, id: impl ColumnTrait) -> Select<E> {
        let select = match self.after {
            Some(after) => select.filter(id.lt(after)),
            None => select,
        };
        select.order_by_desc(id).limit(self.first + 1)
    }

    /// Makes a page of rows that were asked for one too many.
    #[must_use]
    pub fn cut<T>(self, mut rows: Vec<T>) -> Page<T> {
        let has_next = rows.len() as u64 > self.first;
        rows.truncate(usize::try_from(self.first).unwrap_or(usize::MAX));
        Page { rows, has_next }
    }

    /// Fetches the page of `select` in the order of a time of the rows, which need not be that of their ids.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fetch_by_time<E: EntityTrait>(
        self,
        select: Select<E>,
        (time, id): (E::Column, E::Column),
        db: &impl ConnectionTrait,
    ) -> Result<Page<E::Model>, DbErr> {
        let select = match self.after {
            Some(after) => {
                let reached =
                    Query::select().column(time).from(E::default()).and_where(id.eq(after)).to_owned();
                let reached = Expr::tuple([Expr::expr(reached), Expr::value(after)]);
                select.filter(Expr::tuple([Expr::col(time), Expr::col(id)]).lt(reached))
            }
            None => select,
        };
        let select = select.order_by_desc(time).order_by_desc(id).limit(self.first + 1);
        Ok(self.cut(select.all(db).await?))
    }
}

/// The cursor of a row: opaque to clients.
#[must_use]
pub fn cursor(id: Uuid) -> String {
    format!("c{}", id.simple())
}

fn decode(cursor: &str) -> Result<Uuid> {
    let id = cursor.strip_prefix('c').and_then(|hex| Uuid::try_parse(hex).ok());
    id.ok_or_else(|| Error::BadRequest("`after` is not a cursor of this list.".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_out_of_range_is_an_error_not_a_cut() {
        for first in [-1, 0, 101, i32::MAX] {
            assert!(matches!(PageArgs::new(Some(first), None), Err(Error::BadRequest(_))), "{first}");
        }
        assert!(PageArgs::new(Some(100), None).is_ok());
    }

    #[test]
    fn only_our_own_cursors_are_read() {
        let id = Uuid::now_v7();
        assert_eq!(PageArgs::new(None, Some(&cursor(id))).expect("ours").after, Some(id));
        for cursor in ["", "c", "cx", "1", "c'; DROP TABLE users"] {
            assert!(PageArgs::new(None, Some(cursor)).is_err(), "{cursor}");
        }
    }
}
