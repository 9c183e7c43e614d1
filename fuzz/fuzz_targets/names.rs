#![no_main]
//! Fuzzes `names`: see the function that it calls.

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloudmount_core::fuzzing::names(data));
