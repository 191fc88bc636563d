"""Image jobs in a Flask site: `Lepton().init_app(app)`; see docs/flask.md.

`extension` has the extension, `celery_app` finds or makes the Celery application of the site, `views` is the blueprint,
`owner` knows who asks, `links` signs addresses of results, `commands` are those of `flask lepton`, and `worker` is what
workers run.
"""

from lepton_celery.contrib.flask.extension import Lepton as Lepton
