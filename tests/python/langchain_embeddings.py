"""LangChain's embeddings class with nothing changed but the base URL; prints as JSON the vectors of the texts, and of the last one as a query.

usage: langchain_embeddings.py BASE_URL MODEL TEXT...
"""

import json
import sys

from langchain_openai import OpenAIEmbeddings


def main():
    base_url, model, *texts = sys.argv[1:]
    # Without the check a text is sent as text, not as token ids of a vocabulary that only OpenAI's models have.
    embeddings = OpenAIEmbeddings(base_url=base_url, api_key="an-application", model=model, check_embedding_ctx_length=False)
    print(json.dumps({"vectors": embeddings.embed_documents(texts), "query": embeddings.embed_query(texts[-1])}))


main()
