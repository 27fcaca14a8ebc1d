"""In: the name of an AWS service. Out: botocore's model of it, as JSON on standard output."""

import json
import sys

from botocore.loaders import Loader

json.dump(Loader().load_service_model(sys.argv[1], "service-2"), sys.stdout)
