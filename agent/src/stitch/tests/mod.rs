//! Rules and races as scripts, random worlds as properties, budgets.

mod budgets;
mod offspring;
mod peers;
mod rules;
mod script;
