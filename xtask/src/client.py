"""A plain S3 client, so that what CloudMount wrote is judged by somebody else."""

import hashlib
import os
import sys

import boto3

what, bucket, prefix = sys.argv[1:4]
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
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
    for line in sys.stdin:
        change, key, *path = line.split()
        if change == "put":
            with open(path[0], "rb") as content:
                s3.put_object(Bucket=bucket, Key=key, Body=content.read())
        else:
            s3.delete_object(Bucket=bucket, Key=key)
        print("done", flush=True)
else:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            digest = hashlib.sha256()
            for piece in s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].iter_chunks(1 << 20):
                digest.update(piece)
            print(digest.hexdigest(), item["Key"][len(prefix) :])
