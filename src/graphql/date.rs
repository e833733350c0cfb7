//! The `Date` scalar: a day.

use async_graphql::{Description, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::NaiveDate;

/// A day, `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, Description)]
pub(super) struct Date(pub(super) NaiveDate);

#[Scalar(name = "Date", use_type_description)]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => match NaiveDate::parse_from_str(&text, "%Y-%m-%d") {
                Ok(day) => Ok(Self(day)),
                Err(_) => Err(InputValueError::custom("write a day as YYYY-MM-DD")),
            },
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}
