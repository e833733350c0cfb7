//! How many sockets and event streams one holder has open, in this process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use super::budget::Spender;

/// Who holds how many. A holder without any takes no memory.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    taken: Mutex<HashMap<Spender, usize>>,
}

/// One that is taken; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    holder: Spender,
}

impl Seats {
    /// So many for every holder.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// Takes one; `None` where the holder has all of theirs.
    #[must_use]
    pub fn take(self: &Arc<Self>, holder: Spender) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(holder).or_insert(0);
        // A holder of none has been entered only where none may be had at all.
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), holder })
    }

    /// How many every holder may have.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = taken.entry(self.holder) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_seat_is_free_again_when_it_is_left() {
        let seats = Seats::new(2);
        let jane = Spender::User(Uuid::now_v7());
        let (one, _other) = (seats.take(jane).unwrap(), seats.take(jane).unwrap());
        assert!(seats.take(jane).is_none());
        assert!(seats.take(Spender::at(Ipv4Addr::LOCALHOST.into())).is_some(), "everybody has their own");
        drop(one);
        assert!(seats.take(jane).is_some());
    }

    #[test]
    fn who_holds_none_is_forgotten() {
        let seats = Seats::new(2);
        for last in 0..100 {
            drop(seats.take(Spender::at(Ipv4Addr::new(192, 0, 2, last).into())));
        }
        assert!(seats.taken.lock().unwrap().is_empty());
    }
}
