//! stub
pub fn load(_p:&std::path::Path)->Result<crate::artefact::Model,String>{Err("x".into())}
