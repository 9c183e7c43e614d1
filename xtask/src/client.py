"""A plain S3 client, so that what CloudMount wrote is judged by somebody else."""

import hashlib
import json
import os
import sys
import urllib.parse
import urllib.request

import boto3

what, bucket, prefix = sys.argv[1:4]
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def after_a_throttle(response=None, attempts=0, **_):
    """Seconds to wait where a server says so with a status that boto takes for a refusal."""
    if response and response[0].status_code == 403 and "Retry-After" in response[0].headers and attempts < 10:
        return 0.05
    return None


s3.meta.events.register("needs-retry.s3", after_a_throttle)
if what == "make":
    s3.create_bucket(Bucket=bucket)
elif what == "put":
    s3.upload_file(sys.argv[4], bucket, prefix)
elif what == "drop":
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=item["Key"])
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for item in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=item["Key"], UploadId=item["UploadId"])
    s3.delete_bucket(Bucket=bucket)
elif what == "uploads":
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for item in page.get("Uploads", []):
            print(item["Initiated"].isoformat(), item["UploadId"], item["Key"])
elif what == "fetch":
    number = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            number += 1
            try:
                s3.download_file(bucket, item["Key"], os.path.join(sys.argv[4], str(number)))
            except s3.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "412", "PreconditionFailed"):
                    raise
                continue
            print(number, item["Key"][len(prefix) :])
elif what == "save":
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    for number, key in enumerate(keys):
        s3.download_file(bucket, key, os.path.join(prefix, str(number)))
        print(number, key)
elif what == "change":
    url = None

    def tell(event, key, answer):
        # As Amazon posts it: docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        if url is None:
            return
        about = {"key": urllib.parse.quote_plus(key)}
        tag = answer.get("ETag") or answer.get("CopyObjectResult", {}).get("ETag")
        if tag:
            about["eTag"] = tag.strip('"')
        record = {"eventSource": "aws:s3", "eventName": event, "s3": {"bucket": {"name": bucket}, "object": about}}
        body = json.dumps({"Records": [record]}).encode()
        urllib.request.urlopen(urllib.request.Request(url, body)).read()

    def copy(key, to, **more):
        answer = s3.copy_object(Bucket=bucket, Key=to, CopySource={"Bucket": bucket, "Key": key}, **more)
        tell("ObjectCreated:Copy", to, answer)

    def remove(key):
        s3.delete_object(Bucket=bucket, Key=key)
        tell("ObjectRemoved:Delete", key, {})

    for line in sys.stdin:
        change, key, *rest = line.split()
        if change == "put":
            with open(rest[0], "rb") as content:
                tell("ObjectCreated:Put", key, s3.put_object(Bucket=bucket, Key=key, Body=content.read()))
        elif change == "rename":
            copy(key, rest[0])
            remove(key)
        elif change == "mode":
            # As AWS DataSync writes it; a copy onto itself keeps the ETag.
            metadata = s3.head_object(Bucket=bucket, Key=key)["Metadata"]
            metadata["file-permissions"] = "0100" + rest[0]
            copy(key, key, Metadata=metadata, MetadataDirective="REPLACE")
        elif change == "post":
            url = key
        elif change == "subscribe":
            # Topics of RGW: docs.ceph.com/en/latest/radosgw/notifications
            region = os.environ["AWS_REGION"]
            sns = boto3.client("sns", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=region)
            topic = sns.create_topic(Name="changes", Attributes={"push-endpoint": key})["TopicArn"]
            wanted = {"Id": "changes", "TopicArn": topic, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [wanted]}
            )
        else:
            remove(key)
        print("done", flush=True)
else:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            digest = hashlib.sha256()
            for piece in s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].iter_chunks(1 << 20):
                digest.update(piece)
            print(digest.hexdigest(), item["Key"][len(prefix) :])
