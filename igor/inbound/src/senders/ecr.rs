//! Amazon ECR, by way of `EventBridge`.

use super::{Message, Read, Reading};
use crate::{field, image::Image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    if field::text(body, "/detail-type") != Some("ECR Image Action") {
        return Read::ignored("its detail-type is not `ECR Image Action`");
    }
    if field::text(body, "/detail/action-type") != Some("PUSH")
        || field::text(body, "/detail/result") != Some("SUCCESS")
    {
        return Read::ignored("it is no push that succeeded");
    }
    let (account, region) = (message.need("/account")?, message.need("/region")?);
    // China has a domain of its own.
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    let event = Image {
        host: Some(format!("{account}.dkr.ecr.{region}.{domain}")),
        repository: message.need("/detail/repository-name")?.to_owned(),
        tag: message.text("/detail/image-tag"),
        digest: message.text("/detail/image-digest"),
    }
    .event(message);
    let Some(mut event) = event else {
        return Read::ignored("the image has no tag");
    };
    event.delivery = message.text("/id");
    Read::one(event)
}
